package membership

import (
	"errors"
	"strings"
	"testing"
)

func TestServerIDHasOneSpelling(t *testing.T) {
	id := ServerID{NodeID{"n-1_A", "0a1b2c3d"}, 7}
	if got := id.String(); got != "n-1_A.0a1b2c3d.7" {
		t.Fatalf("String = %q", got)
	}
	back, err := ParseServerID(id.String())
	if err != nil || back != id {
		t.Fatalf("ParseServerID = %v, %v", back, err)
	}
	bad := []string{"", "n1", "n1.0a1b2c3d", "n1.0a1b2c3d.", "n1.0a1b2c3d.01", "n1.0a1b2c3d.+1", "n1.0A1B2C3D.0",
		"n1.0a1b2c3.0", "n.1.0a1b2c3d.0", ".0a1b2c3d.0", "n1.0a1b2c3d.4294967296", "n 1.0a1b2c3d.0",
		strings.Repeat("n", 65) + ".0a1b2c3d.0", "n1.0a1b2c3d.0 "}
	for _, s := range bad {
		if got, err := ParseServerID(s); !errors.Is(err, ErrInvalidID) {
			t.Errorf("ParseServerID(%q) = %v, %v: want ErrInvalidID", s, got, err)
		}
	}
}

func TestServerIDsOrderByGenerationAsNumber(t *testing.T) {
	a := NodeID{"n1", "00000000"}
	if a.Server(9).Compare(a.Server(10)) >= 0 || a.Server(10).Compare(a.Server(10)) != 0 {
		t.Fatal("generation 9 must sort before 10")
	}
	if a.Server(10).Compare(NodeID{"n2", "00000000"}.Server(0)) >= 0 {
		t.Fatal("names sort first")
	}
}

func TestZeroIDsAreEmptyText(t *testing.T) {
	if (NodeID{}).String() != "" || (ServerID{}).String() != "" || !(ServerID{}).IsZero() {
		t.Fatal("the zero ids must be empty text")
	}
}

func TestIncarnationsDifferAndParse(t *testing.T) {
	a, b := NewIncarnation(), NewIncarnation()
	if a == b {
		t.Fatalf("two directories got the incarnation %s", a)
	}
	if _, err := ParseNodeID("n1." + a); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseServerID(f *testing.F) {
	f.Add("n1.0a1b2c3d.0")
	f.Add("n1.0a1b2c3d.4294967295")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseServerID(s)
		if err == nil && id.String() != s {
			t.Fatalf("%q parsed to %q", s, id)
		}
	})
}
