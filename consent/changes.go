package consent

// Touched says of a subject whose record changed what is told to those who hold copies: the tenant's number, and the bucket.
type Touched struct{ Tenant, Bucket uint32 }

// Changes is all that changed after one position of a state, up to another. A position is a Raft index.
type Changes struct {
	To       Revision  // the position that they lead to
	Subjects []Touched // whose records changed; one that changed twice may be there twice
	Tenants  []*Tenant // that are new or have another policy, as they are at that position; each once
}

// Filled is a copy of a subject's record, for who is told when it changes.
type Filled struct {
	Revision Revision // the record is exactly that of this position
	Bucket   uint32   // of the subject
	Record   Record   // what decisions are made from; nil if nothing is recorded
}
