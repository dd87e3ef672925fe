package placement

import (
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
)

// Replace gives one holder's place in an assignment to a node that has none,
// that of the primary too. The epoch stays: whoever commits it compares that.
func Replace(a membership.Assignment, from, to string) (membership.Assignment, error) {
	switch {
	case to == "" || a.Holds(to):
		return a, fmt.Errorf("node %q holds group %d already", to, a.Group)
	case !a.Holds(from):
		return a, fmt.Errorf("node %q does not hold group %d", from, a.Group)
	}
	a = a.Clone()
	a.State = membership.GroupRebalancing
	if a.Primary == from {
		a.Primary = to
		return a, nil
	}
	a.Replicas[slices.Index(a.Replicas, from)] = to
	slices.Sort(a.Replicas)
	return a, nil
}
