package raftgroup

import (
	"fmt"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func TestDecideLog(t *testing.T) {
	cut := storage.Position{Index: 480, Term: 4}
	shard := func(index, term uint64) storage.Position { return storage.Position{Index: index, Term: term} }
	for _, tt := range []struct {
		name  string
		facts installFacts
		want  logFate
	}{
		{"Empty", installFacts{}, logReset},
		{"EmptyAndTakesTheFirst", installFacts{Next: 1}, logReset},
		{"EmptyBehindTheCutAlready", installFacts{Next: 481}, logReset},
		{"TrimmedToNothingBeyondTheCut", installFacts{Next: 482}, logKnowsMore},
		{"EndsBelowTheCut", installFacts{First: 1, Last: 300, LastTerm: 4}, logReset},
		{"EndsBelowTheCutInAnEarlierTerm", installFacts{First: 1, Last: 300, LastTerm: 2}, logReset},
		{"TailOfAnEarlierTermBeyondTheCut", installFacts{First: 1, Last: 600, LastTerm: 3, CutTerm: 3}, logReset},
		{"EndsAtTheCutItself", installFacts{First: 1, Last: 480, LastTerm: 4, CutTerm: 4}, logKept},
		{"HoldsTheCutAndMore", installFacts{First: 400, Last: 500, LastTerm: 4, CutTerm: 4}, logKept},
		{"HoldsTheCutAndLaterTerms", installFacts{First: 480, Last: 500, LastTerm: 6, CutTerm: 4}, logKept},
		{"HoldsTheCutAndTheShardIsBeyond", installFacts{First: 480, Last: 500, LastTerm: 4, CutTerm: 4, Shard: shard(490, 4)}, logKept},
		{"BeginsAboveTheCut", installFacts{First: 481, Last: 500, LastTerm: 4}, logKnowsMore},
		{"BeginsAboveTheCutInALaterTerm", installFacts{First: 490, Last: 500, LastTerm: 5}, logKnowsMore},
		{"DivergesAtTheCutInALaterTerm", installFacts{First: 1, Last: 500, LastTerm: 5, CutTerm: 5}, logKnowsMore},
		{"ShardBeyondTheCut", installFacts{Next: 1, Shard: shard(481, 4)}, logKnowsMore},
		{"ShardAtTheCut", installFacts{Next: 481, Shard: shard(480, 4)}, logReset},
		{"ForeignAndFarAhead", installFacts{Foreign: true, First: 1, Last: 9000, LastTerm: 90, CutTerm: 4}, logReset},
		{"LostAboveTheCut", installFacts{First: 1, Last: 500, LastTerm: 4, CutTerm: 4, Lost: true}, logLeft},
		{"LostAndNoCut", installFacts{First: 1, Last: 300, LastTerm: 4, Lost: true}, logLeft},
	} {
		if got := decideLog(tt.facts, cut); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// No entry that may be acked is dropped, in a small box: whatever the log holds
// above the cut in the cut's term or a later one keeps it, or the install ends.
func TestDecideLogDropsNothingThatMayBeAcked(t *testing.T) {
	cut := storage.Position{Index: 3, Term: 2}
	for first := uint64(1); first <= 5; first++ {
		for last := first; last <= 6; last++ {
			for lastTerm := uint64(1); lastTerm <= 3; lastTerm++ {
				for cutTerm := uint64(0); cutTerm <= lastTerm; cutTerm++ {
					if (cutTerm > 0) != (first <= cut.Index && cut.Index <= last) || last == cut.Index && cutTerm != lastTerm {
						continue // no such log
					}
					f := installFacts{First: first, Last: last, LastTerm: lastTerm, CutTerm: cutTerm}
					mayBeAcked := last > cut.Index && lastTerm >= cut.Term
					if got := decideLog(f, cut); got == logReset && mayBeAcked {
						t.Errorf("%+v is emptied", f)
					} else if got == logKept && cutTerm != cut.Term {
						t.Errorf("%+v is kept", f)
					}
				}
			}
		}
	}
}

func someIntents() []intent {
	return []intent{
		{Lineage: lineageOne, Cut: storage.Position{Index: 480, Term: 4}, Log: logKept},
		{Lineage: "x", Cut: storage.Position{Index: 1, Term: 1}, Log: logLeft, Joiner: true},
		{
			Lineage: lineageTwo, Cut: storage.Position{Index: 1 << 40, Term: 1 << 33}, Log: logReset, InPlace: true,
			State: []byte("state"), Manifest: []digest.Entry{
				{Leaf: digest.Leaf{Window: -3, Slot: 15}, LeafDigest: digest.LeafDigest{ID: digest.ID{1, 2}, Points: 7, Bytes: 1 << 20}},
				{Leaf: digest.Leaf{Window: 20000}, LeafDigest: digest.LeafDigest{ID: digest.ID{9}}},
			},
		},
	}
}

func TestIntentComesBackAsItWas(t *testing.T) {
	for _, n := range someIntents() {
		b := n.append(nil)
		got, err := parseIntent(b)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", n) {
			t.Errorf("%+v came back as %+v: %v", n, got, err)
		}
		for i := range b {
			b[i] ^= 0x10
			if _, err := parseIntent(b); err == nil {
				t.Errorf("byte %d of %d is not checked", i, len(b))
			}
			b[i] ^= 0x10
		}
		for i := range b {
			if _, err := parseIntent(b[:i]); err == nil {
				t.Errorf("%d of %d bytes are enough", i, len(b))
			}
		}
	}
}

func FuzzParseIntent(f *testing.F) {
	for _, n := range someIntents() {
		f.Add(n.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseIntent(b); err == nil {
			if again, err := parseIntent(n.append(nil)); err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", n) {
				t.Errorf("%+v, %v", again, err)
			}
		}
	})
}
