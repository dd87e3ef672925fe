package directory

// entryID names an entry of the log.
type entryID struct{ index, term uint64 }

// installEvidence is what a replica knows when another one sends a snapshot.
type installEvidence struct {
	last    entryID // the entry that the snapshot ends with: it is committed
	known   bool    // our log holds an entry at that index,
	term    uint64  // of this term
	applied uint64  // all through here is committed as this replica has it
}

// verdict says what is to be done with a snapshot that was sent.
type verdict uint8

const (
	// installAccept: raft takes it.
	installAccept verdict = iota
	// installHeld: all that it covers is applied here. It came late, and taking it
	// would bring the table back.
	installHeld
	// installContradicts: the log holds another entry at that index. Raft would
	// take the snapshot, keep the entry, refuse what the leader sends behind it
	// and be sent the snapshot again, for ever.
	installContradicts
	// installImpossible: an applied entry differs from a committed one.
	installImpossible
)

// judgeInstall decides. An entry at the index of a committed one and of another
// term was never committed, and so is nothing behind it. Entries before it may
// be committed, and a quorum may count on them.
func judgeInstall(e installEvidence) verdict {
	differs := e.known && e.term != e.last.term
	switch {
	case differs && e.last.index <= e.applied:
		return installImpossible
	case differs:
		return installContradicts
	case e.last.index <= e.applied:
		return installHeld
	}
	return installAccept
}

// maxFruitless bounds the snapshots in a row that a replica takes without
// getting further: beyond it something is wrong that more of them do not mend.
const maxFruitless = 3

// progress counts the snapshots in a row that brought nothing although the
// leader heard that they were taken: it went on with entries, and came back to
// the snapshot. One that is sent again because its answer was lost is not one.
type progress struct {
	applied   uint64
	heard     bool // entries came since the last snapshot
	fruitless int
}

// took notes that a snapshot was taken and how far the replica is since. It
// returns false after more than maxFruitless without a rise.
func (p *progress) took(applied uint64) bool {
	switch {
	case applied > p.applied:
		p.applied, p.fruitless = applied, 0
	case p.heard:
		p.fruitless++
	}
	p.heard = false
	return p.fruitless <= maxFruitless
}
