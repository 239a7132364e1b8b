package store

// Stats are figures for whoever runs a replica.
type Stats struct {
	Applied     uint64
	Tenants     int
	Subjects    int
	RecordBytes int    // of memory, for records and their index
	DiskBytes   uint64 // of the ledger; 0 once the store is closed
}

// Stats returns the current figures.
func (s *Store) Stats() Stats {
	st := s.state.Load()
	figures := Stats{
		Applied: s.Applied(), Tenants: len(st.tenants()), Subjects: st.memory.len(), RecordBytes: st.memory.bytes(),
	}
	if st.ledger.acquire() {
		defer st.ledger.release()
		figures.DiskBytes = st.ledger.db.Metrics().DiskSpaceUsage()
	}
	return figures
}
