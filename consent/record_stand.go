package consent

// StandAt changes the index of a record that is the caller's own. A restored backup stands at the index of its restoring, whole.
func (r Record) StandAt(index uint64) { r.setHeader(r.Newest(), index, r.Tenant()) }
