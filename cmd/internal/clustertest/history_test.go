package clustertest

import (
	"strings"
	"testing"
	"time"
)

func at(call, ret int, op Op) Op {
	op.Call, op.Return = time.Duration(call)*time.Second, time.Duration(ret)*time.Second
	op.Client = call
	return op
}

func write(v int64) Op          { return Op{Kind: OpWrite, Value: v} }
func read(k OpKind, v int64) Op { return Op{Kind: k, Value: v, MaxStaleness: 5 * time.Second} }
func unknown(v int64) Op        { return Op{Kind: OpWrite, Value: v, Unknown: true} }

func TestCheckJudgesHistories(t *testing.T) {
	cases := []struct {
		name  string
		ops   []Op
		wrong string // part of the error; "" for a good history
	}{
		{"ReadsFollowWrites", []Op{at(0, 1, write(1)), at(2, 3, read(OpLinearizable, 1)), at(4, 5, write(2)), at(6, 7, read(OpLinearizable, 2))}, ""},
		{"LinearizableReadIsStale", []Op{at(0, 1, write(1)), at(2, 3, write(2)), at(4, 5, read(OpLinearizable, 1))}, "Illegal"},
		{"AckedWriteIsLost", []Op{at(0, 1, write(1)), at(2, 3, read(OpLinearizable, 0))}, "Illegal"},
		{"UnknownWriteMayAppearLate", []Op{at(0, 1, unknown(1)), at(2, 3, read(OpLinearizable, 0)), at(4, 5, read(OpLinearizable, 1))}, ""},
		{"UnknownWriteMayNotVanishAgain", []Op{at(0, 1, unknown(1)), at(2, 3, read(OpLinearizable, 1)), at(4, 5, read(OpLinearizable, 0))}, "Illegal"},
		{"LeaderReadMayBeOld", []Op{at(0, 1, write(1)), at(2, 3, write(2)), at(40, 41, read(OpLeader, 1))}, ""},
		{"LeaderReadOfAValueNobodyWrote", []Op{at(0, 1, write(1)), at(2, 3, read(OpLeader, 9))}, "nobody"},
		{"LeaderReadOfTheFuture", []Op{at(2, 3, read(OpLeader, 9)), at(5, 6, write(9))}, "nobody"},
		{"StaleReadWithinItsBound", []Op{at(0, 1, write(1)), at(2, 3, write(2)), at(7, 8, read(OpStale, 1))}, ""},
		{"StaleReadBeyondItsBound", []Op{at(0, 1, write(1)), at(2, 3, write(2)), at(9, 10, read(OpStale, 1))}, "staler"},
		{"StaleReadMissesTheOnlyWrite", []Op{at(0, 1, write(1)), at(9, 10, read(OpStale, 0))}, "staler"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Check(c.ops, time.Minute)
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Fatalf("got %v, want %q", err, c.wrong)
			}
		})
	}
}
