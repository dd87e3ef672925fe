package storage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"
)

// What logs and files of the first version hold: a lease without a From. A lease that has none is written so to this day.
const (
	goldenLease      = "0d05016c017000a0724e18090000"
	goldenLeaseFrom  = "1505016c017000a0724e180900002a00000000000000"
	goldenLeases     = "016c017000a0724e18090000070000000000000001"
	goldenLeasesFrom = "016c017000a0724e180900003700000000000000052a00000000000000"
)

func TestLeasesOfTheFirstVersionAreRead(t *testing.T) {
	plain := Lease{ID: "l", Purpose: "p", TTL: 10000 * time.Second}
	from := plain
	from.From = 42
	for text, l := range map[string]Lease{goldenLease: plain, goldenLeaseFrom: from} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendLease(nil, l); !bytes.Equal(got, raw) {
			t.Errorf("%+v is written %x", l, got)
		}
		for c, err := range DecodeCommands(raw) {
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Lease(); err != nil || got != l {
				t.Errorf("%s is read %+v, %v", text, got, err)
			}
		}
		for _, n := range []int{1, 7} {
			body := append(bytes.Clone(raw[2:]), make([]byte, n)...)
			if _, err := (Command{KindLease, body}).Lease(); !errors.Is(err, ErrBadCommand) {
				t.Errorf("%d bytes too many: %v", n, err)
			}
		}
	}
	for text, r := range map[string]Record{
		goldenLeases:     {ID: "l", Purpose: "p", TTL: 10000 * time.Second, Index: 7, Log: true},
		goldenLeasesFrom: {ID: "l", Purpose: "p", TTL: 10000 * time.Second, Index: 55, From: 42, Log: true},
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendLeases(nil, []Record{r}); !bytes.Equal(got, raw) {
			t.Errorf("%+v is written %x", r, got)
		}
		if got, err := parseLeases(raw); err != nil || !reflect.DeepEqual(got, []Record{r}) {
			t.Errorf("%s is read %+v, %v", text, got, err)
		}
	}
	raw, _ := hex.DecodeString(goldenLeases)
	raw[len(raw)-1] |= 8
	if _, err := parseLeases(raw); err == nil {
		t.Error("a flag of the future is taken")
	}
	raw, _ = hex.DecodeString(goldenLeasesFrom)
	if _, err := parseLeases(raw[:len(raw)-3]); err == nil {
		t.Error("half a From is taken")
	}
}

// TestI7LeaseReachesBelowItsEntry: what a lease keeps begins where it says, at its own entry at the latest; a renewal
// changes nothing about it, and neither does a restart.
func TestI7LeaseReachesBelowItsEntry(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	for range 9 {
		apply(t, s, AppendNoop(nil))
	}
	floor := func(want uint64) {
		t.Helper()
		if got, ok := s.LeaseFloor(); got != want || !ok {
			t.Fatalf("floor %d (%v), want %d; leases %+v", got, ok, want, s.Leases())
		}
	}
	take := func(id string, from uint64) { apply(t, s, AppendLease(nil, Lease{ID: id, TTL: time.Hour, From: from})) }
	take("own entry", 0) // 10
	floor(10)
	take("above", 1000) // 11
	apply(t, s, AppendEnd(nil, "own entry"))
	floor(11)
	take("below", 4) // 13
	floor(4)
	take("below", 8) // a renewal
	floor(4)
	take("below", 2)
	floor(4)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	floor(4)
	apply(t, s, AppendEnd(nil, "below"))
	floor(11)
}

// TestI4ReplicasAgreeOnLeases: one log, two replicas of which one restarts in between and the other one gets it in one
// piece: the same leases, in memory and in what one would hand to a third.
func TestI4ReplicasAgreeOnLeases(t *testing.T) {
	var log []Entry
	add := func(data []byte) { log = append(log, Entry{Index: uint64(len(log) + 3), Term: 2, Data: data}) }
	add(AppendLease(nil, Lease{ID: "a", TTL: time.Hour, From: 1}))
	add(AppendLease(nil, Lease{ID: "b", Purpose: "resync", TTL: time.Hour, From: 99}))
	add(AppendLease(AppendLease(nil, Lease{ID: "c", TTL: time.Hour}), Lease{ID: "a", TTL: 2 * time.Hour, From: 4}))
	add(AppendCut(nil, Cut{ID: "cut", TTL: time.Hour, HoldLog: true}))
	states := make([][]byte, 2)
	for i := range states {
		o := testOptions(t)
		s := mustOpen(t, o)
		for n, e := range log {
			if err := s.Apply([]Entry{e})[0]; err != nil {
				t.Fatal(err)
			}
			if i == 0 && n == 1 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, o)
			}
		}
		v, err := s.AwaitView(t.Context(), "cut")
		if err != nil {
			t.Fatal(err)
		}
		if states[i], err = v.State(); err != nil {
			t.Fatal(err)
		}
		if floor, ok := s.LeaseFloor(); floor != 1 || !ok {
			t.Errorf("replica %d: floor %d", i, floor)
		}
	}
	if !bytes.Equal(states[0], states[1]) {
		t.Fatalf("%x\n%x", states[0], states[1])
	}
}
