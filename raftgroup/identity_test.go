package raftgroup

import (
	"testing"

	"github.com/flotilla-db/flotilla/membership"
)

var (
	nodeA = membership.NodeID{Name: "n1", Incarnation: "0a1b2c3d"}
	nodeB = membership.NodeID{Name: "n2", Incarnation: "1a1b2c3d"}
	nodeC = membership.NodeID{Name: "n3", Incarnation: "2a1b2c3d"}
)

const (
	lineageOne = "6f1c8a3e-0000-4000-8000-000000000001"
	lineageTwo = "6f1c8a3e-0000-4000-8000-000000000002"
)

func birthOf(lineage string, nodes ...membership.NodeID) *membership.Birth {
	b := &membership.Birth{Group: 7, Lineage: lineage, Epoch: 1}
	for _, n := range nodes {
		b.Voters = append(b.Voters, n.Server(0))
	}
	return b
}

// settled is a group that lived here and lost nothing.
func settled() Evidence {
	return Evidence{
		Self: nodeA, Group: 7, Birth: birthOf(lineageOne, nodeA, nodeB, nodeC), Assigned: true,
		Vote:  VoteEvidence{Present: true, Lineage: lineageOne, CurrentTerm: 5},
		Log:   LogEvidence{Known: true, First: 10, Last: 100, LastTerm: 5},
		Shard: ShardEvidence{Present: true, Lineage: lineageOne, Index: 60, Term: 4},
	}
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Evidence)
		want   Decision // Why is compared by being empty or not
	}{
		{"Settled", func(*Evidence) {}, Decision{Action: ActionStart, Lineage: lineageOne}},
		{"SettledWithoutTheTable", func(e *Evidence) { e.Birth, e.Assigned = nil, false },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"FirstStartOfAListedVoter", func(e *Evidence) { e.Vote, e.Log, e.Shard = VoteEvidence{}, LogEvidence{}, ShardEvidence{} },
			Decision{Action: ActionBootstrap, Lineage: lineageOne}},
		{"FirstStartOfAServerThatIsNotListed", func(e *Evidence) {
			e.Vote, e.Log, e.Shard = VoteEvidence{}, LogEvidence{}, ShardEvidence{}
			e.Birth = birthOf(lineageOne, nodeB, nodeC)
		}, Decision{Action: ActionJoin, Lineage: lineageOne, Why: "waits"}},
		{"NeitherListedNorAssigned", func(e *Evidence) {
			e.Vote, e.Log, e.Shard = VoteEvidence{}, LogEvidence{}, ShardEvidence{}
			e.Birth, e.Assigned = birthOf(lineageOne, nodeB, nodeC), false
		}, Decision{Action: ActionRefuse, Why: "neither"}},
		{"JoinerThatTheLeaderAlreadyCountsUnderGenerationTwo", func(e *Evidence) {
			e.Vote, e.Log, e.Shard = VoteEvidence{}, LogEvidence{}, ShardEvidence{}
			e.Birth, e.Configured = birthOf(lineageOne, nodeB, nodeC), 2
		}, Decision{Action: ActionJoin, Lineage: lineageOne, Generation: 3, Why: "waits"}},
		{"BirthCutShortBehindTheVoteRecord", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard = 1, LogEvidence{}, ShardEvidence{}
		}, Decision{Action: ActionBootstrap, Lineage: lineageOne, ForgetVote: true}},
		{"BirthCutShortWithAnEmptyShard", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard.Index, e.Shard.Term = 1, LogEvidence{}, 0, 0
		}, Decision{Action: ActionBootstrap, Lineage: lineageOne, ForgetVote: true}},
		{"BirthCutShortBeforeTheTableIsKnown", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard, e.Birth = 1, LogEvidence{}, ShardEvidence{}, nil
		}, Decision{Action: ActionRefuse, Why: "no birth record yet"}},
		{"BirthCutShortBeforeTheTableIsKnownWithAnEmptyLogFile", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard, e.Birth = 1, LogEvidence{Known: true}, ShardEvidence{}, nil
		}, Decision{Action: ActionRefuse, Why: "no birth record yet"}},
		{"JoinerThatHeardOfTermOneOnly", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard = 1, LogEvidence{Known: true, Next: 1}, ShardEvidence{}
			e.Birth = birthOf(lineageOne, nodeB, nodeC)
		}, Decision{Action: ActionStart, Lineage: lineageOne}},
		{"BirthCutShortInTermTwoIsALostLog", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard = 2, LogEvidence{}, ShardEvidence{}
		}, Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 1, Why: "log is missing"}},
		{"BirthAlmostDone", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log, e.Shard = 1, LogEvidence{Known: true, First: 1, Last: 1, LastTerm: 1}, ShardEvidence{}
		}, Decision{Action: ActionStart, Lineage: lineageOne}},
		{"VoteRecordMissing", func(e *Evidence) { e.Vote = VoteEvidence{} },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "missing"}},
		{"VoteRecordMissingWithoutData", func(e *Evidence) {
			e.Vote, e.Shard = VoteEvidence{}, ShardEvidence{}
			e.Log = LogEvidence{Known: true, First: 1, Last: 1, LastTerm: 1}
		}, Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 1, Why: "missing"}},
		{"VoteRecordUnreadable", func(e *Evidence) { e.Vote = VoteEvidence{Present: true, Unreadable: true}; e.Log.Generation = 4 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 5, ResetLog: 61, RaiseTerm: 4, Why: "unreadable"}},
		{"VoteRecordOlderThanTheLog", func(e *Evidence) { e.Log.LastTerm = 6; e.Vote.Generation = 2; e.Configured = 3 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 4, ResetLog: 61, RaiseTerm: 4, Why: "below"}},
		{"VoteRecordOlderThanTheShard", func(e *Evidence) { e.Shard.Term = 6 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 6, Why: "below"}},
		{"LogOfAHigherGeneration", func(e *Evidence) { e.Log.Generation = 1 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 2, ResetLog: 61, RaiseTerm: 4, Why: "generation"}},
		{"LogMissing", func(e *Evidence) { e.Log = LogEvidence{} },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "missing"}},
		{"LogDamagedAboveTheShard", func(e *Evidence) { e.Log.Damage, e.Log.DamagedAt = "flip", 61 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "damaged"}},
		{"LogDamagedWithAnUnknownTail", func(e *Evidence) { e.Log.Damage, e.Log.DamagedAt, e.Log.TailUnknown = "flip", 20, true },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "damaged"}},
		{"LogDamagedBelowTheShard", func(e *Evidence) { e.Log.Damage, e.Log.DamagedAt = "flip", 60 },
			Decision{Action: ActionStart, Lineage: lineageOne, DropLog: 60}},
		{"LogEndsBelowTheShard", func(e *Evidence) { e.Log.Last, e.Log.LastTerm = 59, 4 },
			Decision{Action: ActionStart, Lineage: lineageOne, ResetLog: 61}},
		{"LogEndsAtTheShard", func(e *Evidence) { e.Log.Last, e.Log.LastTerm = 60, 4 },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"LogTrimmedToNothing", func(e *Evidence) { e.Log = LogEvidence{Known: true, Next: 61} },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"LogResetBelowTheShard", func(e *Evidence) { e.Log = LogEvidence{Known: true, Next: 30} },
			Decision{Action: ActionStart, Lineage: lineageOne, ResetLog: 61}},
		{"LogBeginsBehindAHole", func(e *Evidence) { e.Log.First = 62 },
			Decision{Action: ActionRefuse, Lineage: lineageOne, Why: "resync"}},
		{"ShardMissingAndTheLogWhole", func(e *Evidence) { e.Shard, e.Log.First = ShardEvidence{}, 1 },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"ShardMissingAndTheLogTrimmed", func(e *Evidence) { e.Shard = ShardEvidence{} },
			Decision{Action: ActionRefuse, Lineage: lineageOne, Why: "resync"}},
		{"ShardDamaged", func(e *Evidence) { e.Shard.Damage = "bad page" },
			Decision{Action: ActionRefuse, Lineage: lineageOne, Why: "damaged"}},
		{"ShardOfAnotherLineage", func(e *Evidence) { e.Shard.Lineage = lineageTwo },
			Decision{Action: ActionRefuse, Lineage: lineageTwo, Why: "lineage"}},
		{"VoteOfAnotherLineageThanTheBirth", func(e *Evidence) { e.Shard.Lineage, e.Vote.Lineage = "", lineageTwo },
			Decision{Action: ActionRefuse, Lineage: lineageTwo, Why: "lineage"}},
		{"JoinerBeforeItsFirstEntry", func(e *Evidence) {
			e.Birth = birthOf(lineageOne, nodeB, nodeC)
			e.Log, e.Shard = LogEvidence{Known: true, Next: 1}, ShardEvidence{Present: true, Lineage: lineageOne}
		}, Decision{Action: ActionStart, Lineage: lineageOne}},
		{"InstalledBehindAnEmptyLog", func(e *Evidence) { e.Log = LogEvidence{Known: true, Next: 61} },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"InstalledAndTheLogKept", func(e *Evidence) { e.Log.First, e.Log.Last = 60, 90 },
			Decision{Action: ActionStart, Lineage: lineageOne}},
		{"InstalledNewServer", func(e *Evidence) {
			e.Birth = birthOf(lineageOne, nodeB, nodeC)
			e.Vote.CurrentTerm, e.Vote.Generation = 4, 2
			e.Log = LogEvidence{Known: true, Next: 61, Generation: 2}
		}, Decision{Action: ActionStart, Lineage: lineageOne, Generation: 2}},
		{"InstalledWithoutRaisingTheTerm", func(e *Evidence) {
			e.Vote.CurrentTerm, e.Log = 3, LogEvidence{Known: true, Next: 61}
		}, Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "below"}},
		{"InstalledNewServerWithoutAVoteRecord", func(e *Evidence) {
			e.Birth, e.Vote, e.Log = birthOf(lineageOne, nodeB, nodeC), VoteEvidence{}, LogEvidence{Known: true, Next: 61}
		}, Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "missing"}},
		{"InstalledOverALogThatLostItsEnd", func(e *Evidence) { e.Log.Damage, e.Log.DamagedAt = "flip", 90 },
			Decision{Action: ActionRenew, Lineage: lineageOne, Generation: 1, ResetLog: 61, RaiseTerm: 4, Why: "damaged"}},
		{"InstalledIntoAnotherLineage", func(e *Evidence) {
			e.Birth = birthOf(lineageTwo, nodeB, nodeC)
			e.Vote.Lineage, e.Shard.Lineage, e.Log = lineageTwo, lineageTwo, LogEvidence{Known: true, Next: 61}
		}, Decision{Action: ActionStart, Lineage: lineageTwo}},
		{"InstalledIntoAnotherLineageButTheVote", func(e *Evidence) {
			e.Birth = birthOf(lineageTwo, nodeB, nodeC)
			e.Shard.Lineage, e.Log = lineageTwo, LogEvidence{Known: true, Next: 61}
		}, Decision{Action: ActionRefuse, Lineage: lineageTwo, Why: "lineage"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := settled()
			tt.change(&e)
			got := Decide(e)
			if (got.Why == "") != (tt.want.Why == "") {
				t.Errorf("why is %q, want something like %q", got.Why, tt.want.Why)
			}
			got.Why, tt.want.Why = "", ""
			if got != tt.want {
				t.Errorf("Decide gives\n%+v, want\n%+v", got, tt.want)
			}
		})
	}
}

// A voter that may have voted or acked under an id never bootstraps and never
// starts under that id again once the record of it is gone.
func TestDecideNeverLetsAForgetfulVoterReturn(t *testing.T) {
	for _, logKnown := range []bool{false, true} {
		for _, shardIndex := range []uint64{0, 60} {
			for _, last := range []uint64{0, 1, 60, 100} {
				for _, vote := range []VoteEvidence{{}, {Present: true, Unreadable: true},
					{Present: true, Lineage: lineageOne, CurrentTerm: 2}} {
					if !vote.Present && !logKnown && shardIndex == 0 && last == 0 {
						continue // nothing was ever here
					}
					e := settled()
					e.Vote = vote
					e.Log = LogEvidence{Known: logKnown || last > 0, Last: last}
					if last > 0 {
						e.Log.First, e.Log.LastTerm = 1, 3
					}
					e.Shard.Index, e.Shard.Term = shardIndex, min(shardIndex, 3)
					if !vote.Present && last == 0 && shardIndex == 0 {
						continue // a joiner's empty log: it has acked nothing
					}
					d := Decide(e)
					if d.Action == ActionBootstrap || d.Action == ActionJoin || d.Action == ActionStart && vote.CurrentTerm < 3 && (last > 0 || shardIndex > 0) {
						t.Errorf("vote %+v, log %+v, shard index %d: %+v", vote, e.Log, shardIndex, d)
					}
					if d.Action == ActionRenew && d.Generation <= vote.Generation {
						t.Errorf("generation %d does not rise above %d", d.Generation, vote.Generation)
					}
				}
			}
		}
	}
}
