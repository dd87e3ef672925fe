package clustertest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// OpKind is what an operation of a history did.
type OpKind uint8

const (
	// OpWrite sets a key to a value that no other operation writes.
	OpWrite OpKind = iota
	// OpLinearizable reads at the default level.
	OpLinearizable
	// OpLeader reads from whoever believes to lead, without a check.
	OpLeader
	// OpStale reads any replica, no older than its MaxStaleness.
	OpStale
)

// Op is one attempt, as its client saw it. A retry is another Op.
type Op struct {
	Client       int
	Kind         OpKind
	Key          int
	Value        int64         // written or read; 0: the key was absent
	MaxStaleness time.Duration // of OpStale
	Call, Return time.Duration // since the history began
	Unknown      bool          // a write that may take effect at any time after Call
}

// History collects operations. Operations that certainly had no effect (not
// applied, or reads that failed) are not recorded.
type History struct {
	began time.Time
	mu    sync.Mutex
	ops   []Op           // guarded by mu
	lost  map[string]int // guarded by mu: how many ended without an effect, by why
}

// NewHistory begins one now.
func NewHistory() *History { return &History{began: time.Now(), lost: make(map[string]int)} }

// Now is the time to put into Op.Call and Op.Return.
func (h *History) Now() time.Duration { return time.Since(h.began) }

// Add records an operation that has ended.
func (h *History) Add(op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Lose counts an operation that certainly had no effect.
func (h *History) Lose(why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost[why]++
}

// String sums the history up.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	unknown := 0
	for _, op := range h.ops {
		if op.Unknown {
			unknown++
		}
	}
	return fmt.Sprintf("%d operations, of them %d unknown; without effect %v", len(h.ops), unknown, h.lost)
}

// Ops returns what was recorded so far.
func (h *History) Ops() []Op {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Op(nil), h.ops...)
}

// ErrUndecided: no order was found, nor excluded, before the timeout. It proves
// nothing: look at another history.
var ErrUndecided = errors.New("history is undecided")

// Check returns what is wrong with a history, nil if nothing is: writes and
// linearizable reads must have one order that respects real time (porcupine, a
// register a key); each other read must show a value that was current at some
// moment within its bound. It errs on inconclusive too.
func Check(ops []Op, timeout time.Duration) error {
	var strict []porcupine.Operation
	seen := firstSeen(ops)
	for _, op := range ops {
		switch op.Kind {
		case OpWrite, OpLinearizable:
			if o, counts := strictOperation(op, seen); counts {
				strict = append(strict, o)
			}
		case OpLeader:
			if err := checkWeak(op, math.MaxInt64, ops); err != nil {
				return err
			}
		case OpStale:
			if err := checkWeak(op, op.MaxStaleness, ops); err != nil {
				return err
			}
		}
	}
	result, info := porcupine.CheckOperationsVerbose(register, strict, timeout)
	if result == porcupine.Ok {
		return nil
	}
	if result == porcupine.Unknown {
		return ErrUndecided
	}
	return fmt.Errorf("history of %d operations: %s, partial orders %d", len(strict), result, len(info.PartialLinearizations()))
}

// sight names a value of a key.
type sight struct {
	key   int
	value int64
}

// firstSeen is the earliest end of a linearizable read of each value.
func firstSeen(ops []Op) map[sight]time.Duration {
	seen := make(map[sight]time.Duration)
	for _, op := range ops {
		at, known := seen[sight{op.Key, op.Value}]
		if op.Kind == OpLinearizable && (!known || op.Return < at) {
			seen[sight{op.Key, op.Value}] = op.Return
		}
	}
	return seen
}

// strictOperation is an operation as porcupine wants it. A write of unknown
// outcome that no linearizable read saw does not count: an order without it can
// always be ended by it. One that was seen had taken effect when that read
// ended. Both are exact, since no value is written twice, and without them the
// open ends of some hundred writes make the search endless.
func strictOperation(op Op, seen map[sight]time.Duration) (o porcupine.Operation, counts bool) {
	end := op.Return
	if op.Unknown {
		if end, counts = seen[sight{op.Key, op.Value}]; !counts {
			return o, false
		}
	} else if at, known := seen[sight{op.Key, op.Value}]; known && op.Kind == OpWrite {
		end = min(end, at)
	}
	end = max(end, op.Call) // seen before it was called: no order will explain that
	return porcupine.Operation{
		ClientId: op.Client, Input: op, Call: op.Call.Nanoseconds(), Output: op.Value, Return: end.Nanoseconds(),
	}, true
}

// register is one integer a key, absent (0) at first.
var register = porcupine.Model{
	Partition: partitionByKey,
	Init:      func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		op := input.(Op)
		if op.Kind == OpWrite {
			return true, op.Value
		}
		return output.(int64) == state.(int64), state
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %v", input, output)
	},
}

func partitionByKey(history []porcupine.Operation) [][]porcupine.Operation {
	byKey := map[int][]porcupine.Operation{}
	for _, op := range history {
		k := op.Input.(Op).Key
		byKey[k] = append(byKey[k], op)
	}
	parts := make([][]porcupine.Operation, 0, len(byKey))
	for _, ops := range byKey {
		parts = append(parts, ops)
	}
	return parts
}

// checkWeak refuses a value that nobody had begun to write when the read ended,
// and one that was certainly overwritten longer ago than the bound allows: some
// other write began after this value's write had ended, and itself ended more
// than the bound before the read began.
func checkWeak(read Op, bound time.Duration, ops []Op) error {
	var source *Op
	for i := range ops {
		if ops[i].Kind == OpWrite && ops[i].Key == read.Key && ops[i].Value == read.Value {
			source = &ops[i]
		}
	}
	if source == nil && read.Value != 0 || source != nil && source.Call > read.Return {
		return fmt.Errorf("read %+v: nobody had written that value", read)
	}
	if bound == math.MaxInt64 {
		return nil
	}
	for _, w := range ops {
		if w.Kind != OpWrite || w.Key != read.Key || w.Unknown || w.Value == read.Value {
			continue
		}
		afterSource := source == nil || !source.Unknown && w.Call > source.Return
		if afterSource && w.Return+bound < read.Call {
			return fmt.Errorf("read %+v is staler than %v: %+v had overwritten it", read, bound, w)
		}
	}
	return nil
}
