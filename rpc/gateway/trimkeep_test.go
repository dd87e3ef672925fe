package gateway

import (
	"fmt"
	"math"
	"testing"
)

func TestKeepForWhoLives(t *testing.T) {
	log := func(first, last, lastTerm, applied uint64) TrimPlan {
		return TrimPlan{First: first, Through: applied, LastIndex: last, LastTerm: lastTerm, Applied: applied, Term: 3}
	}
	for _, tt := range []struct {
		name    string
		plans   map[string]TrimPlan
		silent  map[string]string
		through uint64
		held    int
		needy   string
	}{
		{"nobody is there", nil, nil, math.MaxUint64, 0, "[]"},
		{"one alone", map[string]TrimPlan{"a": log(4, 9, 3, 9)}, nil, 9, 0, "[]"},
		{"level", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(3, 9, 3, 9)}, nil, 9, 0, "[]"},
		{"one has not heard yet what is committed", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(3, 9, 3, 8)}, nil, 9, 0, "[]"},
		{"one is behind", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(1, 6, 3, 6)}, nil, 6, 1, "[]"},
		{"one is just born", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(1, 0, 0, 0)}, nil, 0, 1, "[]"},
		{"the end of an old leader's log was given up", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(1, 8, 2, 5)}, nil, 5, 1, "[]"},
		{"an empty log of one that has all", map[string]TrimPlan{"a": log(10, 9, 3, 9), "b": log(10, 9, 3, 9)}, nil, 9, 0, "[]"},
		{"what it lacks is gone already", map[string]TrimPlan{"a": log(5, 9, 3, 9), "b": log(1, 3, 2, 3)}, nil, 9, 0, "[b]"},
		{"only one other still has it", map[string]TrimPlan{"a": log(5, 9, 3, 9), "b": log(1, 3, 3, 3), "c": log(4, 9, 3, 9)}, nil, 3, 1, "[]"},
		{"one does not tell", map[string]TrimPlan{"a": log(1, 9, 3, 9), "b": log(1, 9, 3, 9)}, map[string]string{"c": "?"}, 0, 1, "[]"},
	} {
		k := keepFor(7, tt.plans, tt.silent)
		if k.through != tt.through || len(k.held) != tt.held || fmt.Sprint(k.needy) != tt.needy {
			t.Errorf("%s: %+v", tt.name, k)
		}
	}
}
