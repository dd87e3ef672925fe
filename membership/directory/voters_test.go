package directory

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

func TestNextVoterChange(t *testing.T) {
	voter := func(i int) Member {
		return Member{ID: nodeID(i).Server(0), Voter: true, Listed: true, Up: true, Steady: true}
	}
	fresh := func(i int) Member { return Member{ID: nodeID(i).Server(0), Listed: true, Up: true, CaughtUp: true} }
	ready := func(i int) Member { m := fresh(i); m.Steady = true; return m }
	down := func(m Member) Member { m.Up, m.Steady, m.CaughtUp = false, false, false; return m }
	gone := func(m Member) Member { m = down(m); m.Gone = true; return m }
	replaced := func(m Member) Member { m.Listed, m.Replaced = false, true; return m }
	inZone := func(m Member, zone string) Member { m.Zone = zone; return m }
	lagging := func(m Member) Member { m.CaughtUp = false; return m }
	unlisted := func(m Member) Member { m.Listed = false; return m }
	id := func(i int) membership.ServerID { return nodeID(i).Server(0) }
	promote := func(i int) VoterChange { return VoterChange{id(i), Promote} }
	demote := func(i int) VoterChange { return VoterChange{id(i), Demote} }
	none := VoterChange{}
	for _, c := range []struct {
		name    string
		members []Member
		want    VoterChange
	}{
		{"OneAlone", []Member{voter(1)}, none},
		{"SecondNodeVotesAtOnce", []Member{voter(1), fresh(2)}, promote(2)},
		{"ThirdNodeVotesAtOnce", []Member{voter(1), voter(2), fresh(3)}, promote(3)},
		{"FourthDoesNot", []Member{voter(1), voter(2), voter(3), ready(4)}, none},
		{"WithFiveTwoMoreVote", []Member{voter(1), voter(2), voter(3), ready(5), ready(4)}, promote(4)},
		{"FourthAndFifthThatJustCameWait", []Member{voter(1), voter(2), voter(3), fresh(4), fresh(5)}, none},
		{"FourthDoesNotVoteForAFifthThatJustCame", []Member{voter(1), voter(2), voter(3), ready(4), fresh(5)}, none},
		{"FifthFollowsTheFourth", []Member{voter(1), voter(2), voter(3), voter(4), ready(5)}, promote(5)},
		{"SixthDoesNot", []Member{voter(1), voter(2), voter(3), voter(4), voter(5), ready(6)}, none},
		{"OneThatLagsWaits", []Member{voter(1), lagging(fresh(2))}, none},
		{"OneThatIsDownWaits", []Member{voter(1), down(fresh(2))}, none},
		{"OneWithoutARowWaits", []Member{voter(1), unlisted(fresh(2))}, none},
		{"ReplacedOneGoesFirst", []Member{voter(1), replaced(voter(2)), fresh(3)}, VoterChange{id(2), Remove}},
		{"LeaderDoesNotRemoveItself", []Member{replaced(voter(1))}, none},
		{"ZoneWithoutAVoterFirst", []Member{inZone(voter(1), "a"), inZone(fresh(2), "a"), inZone(fresh(3), "b")}, promote(3)},

		{"VoterThatIsDownForAMomentStays", []Member{voter(1), voter(2), down(voter(3)), ready(4)}, none},
		{"VoterThatIsGoneIsReplaced", []Member{voter(1), voter(2), gone(voter(3)), ready(4)}, promote(4)},
		{"NotByOneThatJustCame", []Member{voter(1), voter(2), gone(voter(3)), fresh(4)}, none},
		{"ThenItLosesItsVote", []Member{voter(1), voter(2), gone(voter(3)), voter(4)}, demote(3)},
		{"OneOfThreeIsGoneAndNobodyElseIsThere", []Member{voter(1), voter(2), gone(voter(3))}, none},
		{"OneOfFiveIsGone", []Member{voter(1), voter(2), voter(3), voter(4), gone(voter(5))}, none},
		{"TwoOfFiveAreGone", []Member{voter(1), voter(2), voter(3), gone(voter(4)), gone(voter(5))}, demote(4)},
		{"TheSecondOfThem", []Member{voter(1), voter(2), voter(3), gone(nonvoter(4)), gone(voter(5))}, demote(5)},
		{"TwoAreGoneAndAnotherIsDown", []Member{voter(1), voter(2), down(voter(3)), gone(voter(4)), gone(voter(5))}, none},
		{"OneOfFiveIsReplacedByASixth", []Member{voter(1), voter(2), voter(3), voter(4), gone(voter(5)), ready(6)}, promote(6)},
		{"OneOfTwoIsGone", []Member{voter(1), gone(voter(2)), fresh(3)}, none},
	} {
		got, ok := NextVoterChange(c.members, id(1))
		if ok != (c.want != none) || got != c.want {
			t.Errorf("%s: %v %s, %v", c.name, got.ID, got.Step, ok)
		}
	}
}

func nonvoter(i int) Member { return Member{ID: nodeID(i).Server(0), Listed: true} }

// Whatever comes and goes, each step leaves a majority of the voters up, none
// but the last of two steps takes a vote below what three nodes bear, and it
// ends: with voters of which no more is gone than has to be.
func TestStepsOfVotersNeverLoseTheMajorityAndEnd(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		members := randomMembers(r)
		before := countVoters(members)
		if before.up < majority(before.voters) {
			if change, ok := NextVoterChange(members, members[0].ID); ok {
				t.Fatalf("seed %d: %s without a majority: %+v", seed, change.Step, members)
			}
			continue
		}
		for step := 0; ; step++ {
			change, ok := NextVoterChange(members, members[0].ID)
			if !ok {
				break
			}
			for i := range members {
				if members[i].ID == change.ID {
					members[i].Voter = change.Step == Promote
				}
			}
			now := countVoters(members)
			if now.up < majority(now.voters) || now.voters < before.voters && now.voters < firstVoters || now.voters > MaxVoters+1 || step > 12 {
				t.Fatalf("seed %d, step %d (%s of %v): %+v", seed, step, change.Step, change.ID, members)
			}
		}
		after := countVoters(members)
		if spare := after.up - majority(after.voters); spare < before.up-majority(before.voters) || after.gone > 1 && after.voters > firstVoters {
			t.Fatalf("seed %d: %+v became %+v", seed, before, after)
		}
	}
}

// randomMembers has the leader first.
func randomMembers(r *rand.Rand) []Member {
	members := []Member{{ID: nodeID(1).Server(0), Voter: true, Listed: true, Up: true, Steady: true}}
	for i := 2; i <= 1+r.IntN(8); i++ {
		m := Member{ID: nodeID(i).Server(0), Listed: true, Voter: i <= MaxVoters && r.IntN(2) == 0}
		switch r.IntN(4) {
		case 0:
			m.Gone = true
		case 1: // down for a moment
		case 2:
			m.Up, m.CaughtUp = true, true
		case 3:
			m.Up, m.CaughtUp, m.Steady = true, true, true
		}
		members = append(members, m)
	}
	return members
}

func TestABreakBeginsTheTimeAnew(t *testing.T) {
	now, up := time.Now(), true
	p := newPresence()
	p.now = func() time.Time { return now }
	look := func(after time.Duration, isUp bool) Member {
		now, up = now.Add(after), isUp
		members := []Member{nonvoter(1)}
		p.look(members, func(membership.ServerID) bool { return up })
		return members[0]
	}
	for i, c := range []struct {
		after        time.Duration
		up           bool
		steady, gone bool
	}{
		{0, true, false, false},
		{steadyAfter - 1, true, false, false},
		{1, true, true, false},
		{1, false, false, false},
		{1, true, false, false},
		{steadyAfter - 1, true, false, false},
		{1, true, true, false},
		{0, false, false, false},
		{goneAfter - 1, false, false, false},
		{1, false, false, true},
		{1, true, false, false},
	} {
		if m := look(c.after, c.up); m.Up != c.up || m.Steady != c.steady || m.Gone != c.gone {
			t.Fatalf("look %d: %+v, want %+v", i, m, c)
		}
	}
}

func TestNodesThatWereThereForAMomentDoNotVote(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(5, 16)
		awaitVoters(t, members[:3], 3)
		time.Sleep(4 * time.Second)
		n.stop(members[4])
		n.stop(members[3])
		time.Sleep(time.Minute)
		awaitVoters(t, members[:3], 3)
		n.stop(leaderOf(t, members[:3]...)) // one failure of three
		rest := n.peers()
		must(t, n.up[rest[0]].EnsureDatabase(within(t, time.Minute), "d"))
	})
}

func TestVotersThatStayAwayLoseTheirVotes(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(5, 16)
		awaitVoters(t, members, 5)
		leader := leaderOf(t, members...)
		var rest, away []*member
		for _, m := range members {
			if m != leader && len(away) < 2 {
				away = append(away, m)
			} else {
				rest = append(rest, m)
			}
		}
		n.stop(away[0])
		n.stop(away[1])
		time.Sleep(goneAfter / 2)
		awaitVoters(t, rest, 5)
		awaitVoters(t, rest, 3)
		back := []*member{n.start(away[0].id), n.start(away[1].id)}
		awaitVoters(t, append(rest, back...), 5)
	})
}

func TestVoterThatStaysAwayIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(4, 16)
		awaitVoters(t, members, 3)
		leader := leaderOf(t, members...)
		voters, err := leader.Voters()
		must(t, err)
		for _, m := range members {
			if m != leader && slices.Contains(voters, m.id) {
				n.stop(m)
				eventually(t, "the fourth node votes in its place", func() bool {
					now, err := leader.Voters()
					return err == nil && len(now) == 3 && !slices.Contains(now, m.id)
				})
				return
			}
		}
	})
}
