package raftlog

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// sampleBatch is a valid batch at (1, segmentHeaderSize) with records of every kind.
func sampleBatch(tb testing.TB) []byte {
	g := newGatherer(1<<20, 1<<20)
	log := &raft.Log{Index: 7, Term: 3, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(1, 2)}
	_, err := g.submitEntries(nil, 300, 2, false, []*raft.Log{log, entry(1, 8, 3)})
	if err == nil {
		_, err = g.submitEntries(nil, 1, 0, true, []*raft.Log{entry(1, 1, 1)})
	}
	for _, e := range []dirEntry{{kind: kindTruncate, group: 4, a: 5, b: 9}, {kind: kindReset, life: 2, a: 1, b: 40}, {kind: kindReset, moved: true, a: 1, b: 40}} {
		if err == nil {
			_, err = g.submitState(nil, e)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	g.closeOpen()
	b := g.full[0]
	b.header.sequence, b.header.durable = 9, 8
	sealBatch(b.bytes(), b.header, 1, segmentHeaderSize)
	return b.bytes()
}

// FuzzRecord: no bytes make the decoder panic, and what it accepts means the same when written anew.
func FuzzRecord(f *testing.F) {
	b := sampleBatch(f)
	h, _ := parseBatchHeader(b, 1<<20)
	_ = eachRecord(b, h, func(e dirEntry, at int) error { f.Add(slices.Clone(b[at : at+e.size])); return nil })
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := parseRecord(b)
		if err != nil {
			return
		}
		var again []byte
		if rec.kind == kindAppend {
			var log raft.Log
			if rec.entry(&log); log.Type > 7 {
				return
			}
			again = appendEntry(nil, rec.group, rec.life, rec.moved, &log)
		} else {
			again = appendState(nil, rec.kind, rec.moved, rec.group, rec.life, rec.a, rec.b)
		}
		rec2, err := parseRecord(again)
		if err != nil {
			t.Fatalf("what was decoded cannot be: %v", err)
		}
		if rec2.kind != rec.kind || rec2.moved != rec.moved || rec2.group != rec.group || rec2.life != rec.life ||
			rec2.a != rec.a || rec2.b != rec.b || rec2.term != rec.term || rec2.appendedAt != rec.appendedAt ||
			!bytes.Equal(rec2.data, rec.data) || !bytes.Equal(rec2.ext, rec.ext) {
			t.Fatalf("%+v became %+v", rec, rec2)
		}
	})
}

// FuzzSegment: no contents of a segment make the open, the reads or the dump panic or run away; what opens
// can be written to, and opens again.
func FuzzSegment(f *testing.F) {
	b := sampleBatch(f)
	f.Add(b)
	f.Add(append(slices.Clone(b), b...))
	torn := slices.Clone(b)
	torn[60] ^= 1
	f.Add(torn)
	f.Fuzz(func(t *testing.T, b []byte) {
		files := newMemFiles()
		size := minSegmentBytes
		image := append(appendSegmentHeader(1), b...)
		image = append(image[:min(len(image), size)], make([]byte, size-min(len(image), size))...)
		files.files[segmentName(1)] = &memFile{d: files, now: image, durable: slices.Clone(image), dirty: map[int]bool{}}
		for round := range 2 {
			s, err := OpenShared("mem", SharedOptions{Files: files, SegmentBytes: int64(size)})
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			for _, id := range append(slices.DeleteFunc(s.Groups(), func(id uint32) bool { return id == 77 }), 77) {
				l, err := s.Open(id)
				if err != nil {
					t.Fatal(err)
				}
				if l.Check() != nil { // the owner acts
					if err := l.Reset(1, ^uint32(0)); err != nil {
						t.Fatal(err)
					}
				}
				if next := l.NextIndex(); next < 1<<63 {
					if err := l.StoreLog(&raft.Log{Index: max(next, 1), Term: 1}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzVote: no value makes the decoder panic, and what it accepts is what was encoded.
func FuzzVote(f *testing.F) {
	f.Add(encodeVote(&VoteRecord{Group: 1, Lineage: "l", Generation: 2, CurrentTerm: 3, LastVoteTerm: 3, LastVoteCand: []byte("c")}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeVote(1, b); err == nil {
			if again, err := decodeVote(1, encodeVote(&r)); err != nil || again.CurrentTerm != r.CurrentTerm {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
		}
		_, _ = decodeBoltState(b)
	})
}
