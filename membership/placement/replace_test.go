package placement

import (
	"reflect"
	"testing"

	"github.com/flotilla-db/flotilla/membership"
)

func TestReplaceGivesOnePlaceToAnotherNode(t *testing.T) {
	before := membership.Assignment{Group: 7, Primary: "n1", Replicas: []string{"n2", "n3"}, State: membership.GroupActive, Epoch: 4}
	for _, c := range []struct {
		from, to, primary string
		replicas          []string // nil: refused
	}{
		{"n2", "n9", "n1", []string{"n3", "n9"}},
		{"n3", "a4", "n1", []string{"a4", "n2"}},
		{"n1", "n4", "n4", []string{"n2", "n3"}},
		{"n4", "n5", "", nil},
		{"n2", "n3", "", nil},
		{"n2", "n2", "", nil},
		{"n2", "", "", nil},
	} {
		after, err := Replace(before, c.from, c.to)
		if (err != nil) != (c.replicas == nil) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if c.replicas == nil {
			continue
		}
		want := membership.Assignment{Group: 7, Primary: c.primary, Replicas: c.replicas, State: membership.GroupRebalancing, Epoch: 4}
		if !reflect.DeepEqual(after, want) {
			t.Errorf("%s to %s: %+v, want %+v", c.from, c.to, after, want)
		}
	}
	if !reflect.DeepEqual(before.Replicas, []string{"n2", "n3"}) {
		t.Errorf("the assignment that was given is now %v", before.Replicas)
	}
}
