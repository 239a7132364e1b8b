package consent

// Pseudonym stands for a subject of a tenant behind the door of a replica: 128 bits of a keyed hash, and so uniformly distributed.
type Pseudonym [2]uint64

// Buckets is how many parts the subjects fall into. Who holds copies of records is told which of them a change touched, and never whom.
const Buckets = 1 << bucketBits

const bucketBits = 20

// Bucket returns which part a subject is in.
func (p Pseudonym) Bucket() uint32 { return uint32(p[0] >> (64 - bucketBits)) }
