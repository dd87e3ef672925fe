// Package raftfuture ends what waits for an answer of hashicorp/raft together with that raft. Its only noun is raft's own
// future. It knows neither what was asked for nor what the answer means to whoever asked.
package raftfuture

import (
	"reflect"
	"sync"

	"github.com/hashicorp/raft"
)

// EndWith has f.Error return raft.ErrRaftShutdown once ended is closed, unless raft answers before. Call it before Error,
// which is then asked once, and close ended when the Shutdown of f's raft is over: what raft has not answered then, it never
// answers.
//
// That happens (upstream issue 498): a committed entry waits in a queue for the goroutine of the state machine, which at a
// shutdown ends with what is in the queue. And so does a transfer of leadership that the main loop has not taken yet. Raft's
// futures have a field for this, ShutdownCh, which raft sets for some of its own alone. Their types have no name outside of
// raft, hence the reflection; the test sees when the field is gone. A future without it is an error that raft gave at once.
func EndWith[F raft.Future](f F, ended chan struct{}) F {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return f
	}
	if at := fieldOf(v.Elem().Type()); at != nil {
		v.Elem().FieldByIndex(at).Set(reflect.ValueOf(ended))
	}
	return f
}

// fields are where types of futures have the field, []int; nil: they have none. To look for it makes garbage, and every write
// has a future.
var fields sync.Map

func fieldOf(t reflect.Type) []int {
	if at, known := fields.Load(t); known {
		return at.([]int)
	}
	var at []int
	if f, has := t.FieldByName("ShutdownCh"); has && f.IsExported() && f.Type == reflect.TypeFor[chan struct{}]() {
		at = f.Index
	}
	fields.Store(t, at)
	return at
}
