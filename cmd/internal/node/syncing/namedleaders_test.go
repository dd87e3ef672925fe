package syncing

import (
	"testing"

	"github.com/flotilla-db/flotilla/membership"
)

func TestNamedLeaderIsForgottenOnlyIfItIsTheOneThatDoesNotLead(t *testing.T) {
	a := membership.NodeID{Name: "n1", Incarnation: "00000001"}
	b := membership.NodeID{Name: "n2", Incarnation: "00000002"}
	l := newNamedLeaders()
	if l.forget(7, a) {
		t.Error("forgot what was never named")
	}
	l.set(7, a)
	l.set(7, b) // a question that was asked before is answered late
	if l.forget(7, a) {
		t.Error("forgot another one")
	}
	if id, ok := l.get(7); !ok || id != b {
		t.Fatal(id, ok)
	}
	if _, ok := l.get(8); ok {
		t.Error("a leader of another group")
	}
	if !l.forget(7, b) {
		t.Error("not forgotten")
	}
	if _, ok := l.get(7); ok {
		t.Error("still named")
	}
	var none *namedLeaders // who remembers nothing
	if none.set(7, a); none.forget(7, a) {
		t.Error("remembered")
	}
}
