package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// drilled is a shard with two windows of ten devices.
func drilled(t *testing.T) *Shard {
	t.Helper()
	s := mustOpen(t, testOptions(t))
	for round := range 2 {
		var points []Point
		for d := range 10 {
			points = append(points, point(fmt.Sprint("device-", d), int64(round)*int64(testWindow), "v", float64(d), "n", d, "s", "word", "b", d%2 == 0))
		}
		apply(t, s, AppendPut(nil, points))
		rootOf(t, s, fmt.Sprint("before-", round))
	}
	return s
}

func TestDrillThatDivergesShowsInTheRootAlone(t *testing.T) {
	for _, how := range []Spoiling{SpoilDivergent, SpoilMissing} {
		for seed := range uint64(8) { // each kind of value
			s, like := drilled(t), drilled(t)
			spoiled, err := s.Spoil(t.Context(), how, rand.New(rand.NewPCG(seed, 1)).IntN)
			if err != nil || spoiled.Text == "" || spoiled.Leaf == nil {
				t.Fatalf("%s: %+v, %v", how, spoiled, err)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Fatalf("%s: the file itself is bad: %v", how, err)
			}
			v, err := s.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stored, entries, err := v.Root(t.Context())
			read, _, readErr := v.ReadRoot(t.Context())
			v.Close()
			if err := errors.Join(err, readErr); err != nil || stored != read {
				t.Fatalf("%s: digests do not fit: %s and %s, %v", how, stored, read, err)
			}
			w, err := like.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, others, err := w.Root(t.Context())
			w.Close()
			if err != nil || s.Applied() != like.Applied() {
				t.Fatal(err)
			}
			if bad := differing(entries, others); len(bad) != 1 || bad[0] != *spoiled.Leaf {
				t.Errorf("%s: leaves %v differ, want %v (%s)", how, bad, *spoiled.Leaf, spoiled.Text)
			}
		}
	}
}

// differing are the leaves that the two sides do not agree about.
func differing(a, b []digest.Entry) (bad []digest.Leaf) {
	of := map[digest.Leaf]digest.ID{}
	for _, e := range b {
		of[e.Leaf] = e.ID
	}
	for _, e := range a {
		if of[e.Leaf] != e.ID {
			bad = append(bad, e.Leaf)
		}
		delete(of, e.Leaf)
	}
	for leaf := range of {
		bad = append(bad, leaf)
	}
	return bad
}

func TestDrillOnTheFileIsDamage(t *testing.T) {
	for seed := range uint64(8) {
		s := drilled(t)
		if spoiled, err := s.Spoil(t.Context(), SpoilBitflip, rand.New(rand.NewPCG(seed, 1)).IntN); err != nil || spoiled.Leaf == nil {
			t.Fatalf("%+v, %v", spoiled, err)
		}
		var damage *DamageError
		if err := s.Check(t.Context()); !errors.As(err, &damage) || damage.Structure {
			t.Errorf("seed %d: a flipped bit in a block is %v", seed, err)
		}

		s = drilled(t)
		before, err := os.Stat(s.o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Spoil(t.Context(), SpoilTruncate, rand.New(rand.NewPCG(seed, 1)).IntN); err != nil {
			t.Fatal(err)
		}
		if after, err := os.Stat(s.o.Path); err != nil || after.Size() >= before.Size() {
			t.Errorf("the file has %d bytes, and had %d: %v", after.Size(), before.Size(), err)
		}
		if err := s.Check(t.Context()); !errors.As(err, &damage) || !damage.Structure {
			t.Errorf("seed %d: a truncated file is %v", seed, err)
		}
	}
}

func TestDrillRollsTheFileBackByOneCommit(t *testing.T) {
	s := drilled(t)
	apply(t, s, AppendPut(nil, []Point{point("late", 5, "v", 1.0)}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Spoil(t.Context(), SpoilStale, func(int) int { return 0 }); err != nil {
		t.Fatal(err)
	}
	o := s.o
	raw, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	o = testOptions(t) // what a restart would find
	if err := os.WriteFile(o.Path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenShard(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("two meta pages of one transaction were opened: %v", err)
	}
	err = s.Scan(t.Context(), Query{Series: Series{"db", "c", "late"}, From: 0, To: 10}, func(Series, *blocks.Columns) error { return nil })
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("the older state is served: %v", err)
	}
}

func TestDrillOnAnEmptyReplicaIsRefused(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	for _, how := range Spoilings {
		if _, err := s.Spoil(t.Context(), how, func(int) int { return 0 }); !errors.Is(err, ErrNothingToSpoil) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if _, err := s.Spoil(t.Context(), "flood", func(int) int { return 0 }); err == nil {
		t.Error("an unknown way was taken")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Flush(ctx); err != nil {
		t.Errorf("the shard does not work any more: %v", err)
	}
}

// A proof of a repair reads what was good beside what rotted.
func TestRotOfALeafIsNotThatOfItsNeighbour(t *testing.T) {
	for seed := range uint64(8) {
		s := drilled(t)
		spoiled, err := s.Spoil(t.Context(), SpoilBitflip, rand.New(rand.NewPCG(seed, 1)).IntN)
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaves, err := v.Leaves()
		if err != nil {
			t.Fatal(err)
		}
		for _, leaf := range leaves {
			_, err := v.hash(t.Context(), digest.NewLeafHasher(leaf, 1), leaf)
			if (err != nil) != (leaf == *spoiled.Leaf) {
				t.Errorf("seed %d: leaf %v beside %v: %v", seed, leaf, *spoiled.Leaf, err)
			}
		}
		v.Close()
	}
}

// A replica with one point: its blocks lie inside a page of the root.
func TestDrillOnASmallReplica(t *testing.T) {
	for _, how := range []Spoiling{SpoilBitflip, SpoilTruncate} {
		s := mustOpen(t, testOptions(t))
		apply(t, s, AppendPut(nil, []Point{point("one", 5, "v", 1.0)}))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Spoil(t.Context(), how, func(int) int { return 0 }); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", how, err)
		}
	}
}
