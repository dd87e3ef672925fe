package directory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// held is all that raft.db holds.
type held struct {
	entries     map[uint64]*raft.Log // first..last; never changed
	first, last uint64               // 0, 0: none
	vote        vote
	old         bool // an older version wrote it: without checksums
}

// vote is what a replica must not forget of elections.
type vote struct {
	term      uint64 // the newest that it has seen
	votedIn   uint64 // 0: never
	candidate []byte
}

func (v vote) zero() bool { return v.term == 0 && v.votedIn == 0 }

// ends are those of the log, and the vote, after a change.
type ends struct {
	first, last uint64
	vote        vote
}

func newHeld() *held { return &held{entries: make(map[uint64]*raft.Log)} }

func (h *held) clone() *held {
	return &held{entries: maps.Clone(h.entries), first: h.first, last: h.last, vote: h.vote}
}

func (h *held) after(c change) ends {
	e := ends{h.first, h.last, h.vote}
	if c.vote != nil {
		e.vote = *c.vote
	}
	switch {
	case c.from == 0:
	case c.from <= h.first && c.through >= h.last:
		e.first, e.last = 0, 0
	case c.from <= h.first:
		e.first = c.through + 1
	default:
		e.last = c.from - 1
	}
	if n := len(c.put); n > 0 {
		if e.last == 0 {
			e.first = c.put[0].Index
		}
		e.last = c.put[n-1].Index
	}
	return e
}

func (h *held) apply(c change, e ends) {
	for i := c.from; i != 0 && i <= c.through; i++ {
		delete(h.entries, i)
	}
	for _, log := range c.put {
		h.entries[log.Index] = log
	}
	h.first, h.last, h.vote = e.first, e.last, e.vote
}

func (h *held) all() []*raft.Log {
	out := make([]*raft.Log, 0, len(h.entries))
	for i := h.first; i != 0 && i <= h.last; i++ {
		out = append(out, h.entries[i])
	}
	return out
}

// differs says where what was read is not what it should be.
func (h *held) differs(want *held) error {
	if h.first != want.first || h.last != want.last || h.old {
		return fmt.Errorf("it holds entries %d..%d, not %d..%d", h.first, h.last, want.first, want.last)
	}
	if h.vote.term != want.vote.term || h.vote.votedIn != want.vote.votedIn || !bytes.Equal(h.vote.candidate, want.vote.candidate) {
		return errors.New("it holds another vote")
	}
	for i, log := range want.entries {
		if got := h.entries[i]; got.Term != log.Term || got.Type != log.Type || !bytes.Equal(got.Data, log.Data) {
			return fmt.Errorf("it holds another entry %d", i)
		}
	}
	return nil
}

// readLogFile reads all of raft.db, and checks it: fs.ErrNotExist, ErrStateLost,
// or why it cannot be read.
func readLogFile(path string) (*held, error) {
	h, conf, sealed := newHeld(), make(map[string][]byte), 0
	err := raftlog.ReadBoltFile(path, func(bucket, k, v []byte) error {
		if bytes.Equal(bucket, bucketConf) {
			conf[string(k)] = bytes.Clone(v)
			return nil
		}
		if len(k) != 8 {
			return fmt.Errorf("key of %d bytes", len(k))
		}
		i := binary.BigEndian.Uint64(k)
		log, seal, err := raftlog.DecodeEntry(i, bytes.Clone(v))
		switch {
		case err != nil:
			return err
		case h.last != 0 && i != h.last+1:
			if sealed > 0 || seal {
				return fmt.Errorf("entries %d..%d are missing", h.last+1, i-1)
			}
			// An older version left a hole where it had installed a snapshot: what lies before it goes. Whether there
			// is such a snapshot, reaches finds out.
			clear(h.entries)
			h.first = i
		case h.last == 0:
			h.first = i
		}
		if seal {
			sealed++
		}
		h.entries[i], h.last = log, i
		return nil
	})
	if err == nil {
		err = h.takeVote(conf, sealed)
	}
	if errors.Is(err, raftlog.ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrStateLost, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return h, nil
}

// takeVote takes the record that says what the file must hold. One of an older
// version says less, and has entries without checksums.
func (h *held) takeVote(conf map[string][]byte, sealed int) error {
	b, known := conf[string(keyVote)]
	if !known || len(b) > 0 && b[0] == oldVoteVersion {
		return h.takeOldVote(conf, sealed)
	}
	v, first, last, err := decodeVote(b)
	switch {
	case err != nil:
		return err
	case first != h.first || last != h.last || sealed != len(h.entries):
		return fmt.Errorf("entries %d..%d are there, %d with a checksum; there should be %d..%d: %w",
			h.first, h.last, sealed, first, last, raftlog.ErrDamaged)
	}
	h.vote = v
	return nil
}

func (h *held) takeOldVote(conf map[string][]byte, sealed int) error {
	term, known := conf[keyCurrentTerm]
	if sealed > 0 || len(h.entries) > 0 && len(term) != 8 || known && len(term) != 8 {
		return fmt.Errorf("the vote is missing: %w", raftlog.ErrDamaged)
	}
	if !known && len(conf) > 0 { // a key that is bad, of a log without entries
		return fmt.Errorf("the term is missing: %w", raftlog.ErrDamaged)
	}
	h.old = known
	if known {
		h.vote.term = binary.BigEndian.Uint64(term)
	}
	if b, voted := conf[string(keyVote)]; voted {
		if len(b) < oldVoteOverhead || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
			return fmt.Errorf("vote record (%d bytes): %w", len(b), raftlog.ErrDamaged)
		}
		h.vote.votedIn, h.vote.candidate = binary.BigEndian.Uint64(b[1:9]), b[9:len(b)-4]
	}
	return nil
}
