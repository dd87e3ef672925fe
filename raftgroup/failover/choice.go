package failover

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

// Standing is what one replica says of itself in a group whose leader is
// suspected.
type Standing = raftgroup.Standing

// Quorum returns the number of votes that decide among n voters.
func Quorum(n int) int { return n/2 + 1 }

// Order returns who campaigns first, second and so on once leader is gone (the
// zero ServerID: once the group has none), or nil when the standings are not
// those of a quorum of the group's voters.
//
// The longest log goes first: a shorter one cannot win against it while it
// lives. Among equal logs a ready voter goes before one that is not, then the
// primary, then the lowest hash of group and server id, which spreads the
// groups of a dead leader over all survivors.
func Order(leader membership.ServerID, standings []Standing) []membership.ServerID {
	able := make([]Standing, 0, len(standings))
	for _, s := range standings {
		if s.Voter && s.Leader == leader && s.Self != leader {
			able = append(able, s)
		}
	}
	if len(able) == 0 {
		return nil
	}
	slices.SortFunc(able, compareStandings)
	able = slices.CompactFunc(able, func(a, b Standing) bool { return a.Self == b.Self })
	if voted(able) < Quorum(len(able[0].Voters)) {
		return nil
	}
	order := make([]membership.ServerID, len(able))
	for i, s := range able {
		order[i] = s.Self
	}
	return order
}

// voted counts the standings of those who are voters in the configuration of
// the longest log, which is the one that may hold a change not yet known to all.
func voted(able []Standing) int {
	n := 0
	for _, s := range able {
		if slices.Contains(able[0].Voters, s.Self) {
			n++
		}
	}
	return n
}

func compareStandings(a, b Standing) int {
	return cmp.Or(
		-cmp.Compare(a.LastTerm, b.LastTerm),
		-cmp.Compare(a.LastIndex, b.LastIndex),
		-compareBool(a.Ready, b.Ready),
		-compareBool(a.Primary, b.Primary),
		cmp.Compare(rank(a), rank(b)),
		cmp.Compare(a.Self.String(), b.Self.String()),
	)
}

// rank orders the replicas of one group differently from those of the next.
func rank(s Standing) uint64 {
	d := xxhash.New()
	_, _ = d.Write(binary.BigEndian.AppendUint32(nil, s.Group)) // never fails
	_, _ = d.WriteString(s.Self.String())
	return d.Sum64()
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
