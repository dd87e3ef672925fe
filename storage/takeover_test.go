package storage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"
)

var goldenTakeover = takeover{
	state: state{applied: Position{70, 3}, configuration: []byte("three voters"), configurationIndex: 5, blockFormat: 1,
		leases: []Record{
			{ID: "cut", Purpose: "resync", Index: 69, TTL: time.Minute, Log: true, View: true},
			{ID: "job", Purpose: "resync", Index: 60, From: 12, TTL: time.Hour, Log: true},
		}},
	window: DefaultWindow,
}

// goldenState is what layout 1 makes of it: nodes of different versions hand it to each other.
const goldenState = "010100004f91944e00004600000000000000030000000000000005000000000000000c746872656520766f74657273400363757406726573796e63005847f80d000000450000000000000003036a6f6206726573796e6300a0b830460300003c00000000000000050c00000000000000985e6d86"

func TestStateOfLayout1(t *testing.T) {
	b := goldenTakeover.encode()
	if got := hex.EncodeToString(b); got != goldenState {
		t.Errorf("state is %s", got)
	}
	back, err := parseTakeover(b)
	if err != nil || !reflect.DeepEqual(back, goldenTakeover) {
		t.Fatalf("%+v, %v", back, err)
	}
	d, err := ParseState(b)
	if err != nil || !reflect.DeepEqual(d, Durable{Position{70, 3}, []byte("three voters"), 5}) {
		t.Fatalf("%+v, %v", d, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := ParseState(bad); !errors.Is(err, ErrState) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := ParseState(b[:i]); !errors.Is(err, ErrState) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestStateRefusesWhatContradictsItself(t *testing.T) {
	for what, change := range map[string]func(*takeover){
		"window":                        func(s *takeover) { s.window = 0 },
		"configuration above applied":   func(s *takeover) { s.configurationIndex = 71 },
		"configuration without index":   func(s *takeover) { s.configurationIndex = 0 },
		"block format of the future":    func(s *takeover) { s.blockFormat = 200 },
		"block format 0":                func(s *takeover) { s.blockFormat = 0 },
		"more leases than there may be": func(s *takeover) { s.leases = make([]Record, maxLeases+1); nameLeases(s.leases) },
	} {
		s := goldenTakeover
		change(&s)
		if _, err := ParseState(s.encode()); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func nameLeases(leases []Record) {
	for i := range leases {
		leases[i].ID = string(rune('a' + i))
	}
}

func TestStateOfAView(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	s.Apply([]Entry{{Index: 1, Term: 1, Config: true, Data: []byte("voters")}})
	apply(t, s, AppendLease(nil, Lease{ID: "job", TTL: time.Hour, From: 1}))
	v := pinCut(t, s, "cut")
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
	b, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseTakeover(b)
	want := takeover{state: state{applied: Position{3, 1}, configuration: []byte("voters"), configurationIndex: 1, blockFormat: 1,
		leases: []Record{{ID: "job", Index: 2, From: 1, TTL: time.Hour, Log: true}, {ID: "cut", Purpose: "test", Index: 3, TTL: time.Hour, View: true}}},
		window: testWindow}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(goldenTakeover.encode())
	f.Add((&takeover{state: state{blockFormat: 1}, window: 1}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is made right, so that what lies behind it is looked at too.
		if n := len(b) - crcBytes; n >= 0 {
			b = appendSum(b[:n:n], nil, b[:n])
		}
		s, err := parseTakeover(b)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		back, err := parseTakeover(s.encode())
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v became %+v, %v", s, back, err)
		}
	})
}
