package walgap

// The price of a verdict is the bytes that it moves by the measured rate, and a fixed cost.

const (
	// fixedEntries: a cut, a proof and a switch never cost less than replaying so many entries. A replica that lacks
	// few is never copied, however fast the disks are.
	fixedEntries = 1000
	// hotLeaves is how many leaves a gap is taken to touch besides those that are new: the 16 slots of the window in
	// which the writes go on. An estimate, until leaves are compared.
	hotLeaves = 16
)

// copySeconds is what moving some bytes of a shard costs. What arrives is stored beside the fetching, so the slower of
// the two counts; the proof reads the whole shard, here and on the leader at once.
func (r Rates) copySeconds(moved, shard uint64) float64 {
	fixed := float64(r.CutS) + float64(shard)/float64(r.ProofBytesPerS)
	fixed = max(fixed, fixedEntries/float64(r.EntriesPerS))
	return fixed + float64(moved)/float64(min(r.WireBytesPerS, r.LocalBytesPerS))
}

// replaySeconds is what so many entries cost, of so many bytes.
func (r Rates) replaySeconds(n, bytes uint64) float64 {
	return float64(n)/float64(r.EntriesPerS) + float64(bytes)/float64(r.WireBytesPerS)
}

// replayBytes is what n entries of the leader's log take, were all of one size.
func (g *gap) replayBytes(n uint64) uint64 {
	held := g.led.last + 1 - g.led.first
	if held == 0 || n >= held {
		return g.leader.LogBytes
	}
	return uint64(float64(g.leader.LogBytes) * (float64(n) / float64(held)))
}

// deltaBytes is about what differs: what the shard grew or shrank by, and the leaves that are being written.
func (g *gap) deltaBytes() uint64 {
	whole, other := g.leader.Bytes, g.target.Bytes
	differs := max(whole, other) - min(whole, other)
	if leaves := g.leader.Leaves; leaves > 0 {
		hot := float64(whole) * (float64(min(hotLeaves, leaves)) / float64(leaves))
		if uint64(hot) >= whole || differs >= whole-uint64(hot) {
			return whole
		}
		differs += uint64(hot)
	}
	return min(whole, differs)
}

// Reprice is the verdict for the bytes that comparing leaves has shown to differ: the plan of a job becomes exact
// before it moves anything.
func (v Verdict) Reprice(l Leader, moved uint64, r Rates) Verdict {
	r = r.bounded()
	if v.Kind.Copies() {
		v.Bytes, v.Seconds = moved, r.copySeconds(moved, l.Bytes)
	}
	if v.FromRecord {
		v.Seconds += r.replaySeconds(l.Last-l.Record.Index, 0)
	}
	return v
}
