package consent

// Pseudonym stands for a subject of a tenant behind the door of a replica: 128 bits of a keyed hash, and so uniformly distributed.
type Pseudonym [2]uint64
