package storage

// Stats are figures for people: cheap, and not exact while writes go on.
type Stats struct {
	Bytes      int64  // what the file takes on disk: its blocks x 512
	BlockBytes uint64 // encoded blocks in the file
	Points     uint64 // rows in parts and heads; a point in several parts counts several times until they are merged
	Series     uint64 // with blocks in the file
	Parts      uint64
	HeadBytes  int64 // memory of active and frozen heads
	HeadPoints uint64
	Views      int
	Flushes    uint64 // since open
	Applied    Position
	Durable    Position
}

// Stats are the shard's figures.
func (s *Shard) Stats() Stats {
	bytes, _ := diskBytes(s.o.Path)
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := Stats{Bytes: bytes, BlockBytes: s.totals.blockBytes, Points: s.totals.rows, Series: s.totals.series, Parts: s.totals.parts,
		HeadBytes: s.active.bytes, HeadPoints: uint64(s.active.points), Views: len(s.pins), Flushes: s.flushes,
		Applied: s.state.applied, Durable: s.durable.applied}
	for _, h := range s.frozen {
		st.HeadBytes += h.bytes
		st.HeadPoints += uint64(h.points)
	}
	st.Points += st.HeadPoints
	return st
}
