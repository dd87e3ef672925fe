package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// collectorPoll is how often the rate of allocation is looked at.
	collectorPoll = time.Second
	// busyBytes is the rate of allocation, in bytes a second, from which the
	// heap may grow to five times what lives in it instead of twice: with 20 MB
	// alive and 256 groups' stacks to scan, a collection costs 80 ms of CPU, and
	// at the default a busy node makes four a second.
	busyBytes        = 16 << 20
	busyGCPercent    = 400
	defaultGCPercent = 100
	// copyGCPercent holds while leaves come in or go out, however busy the node
	// is: a copy may take 64 MB above idle, and its own buffers live there too.
	copyGCPercent = 150
	// quietPolls is after how many quiet polls memory goes back to the system.
	quietPolls = 5
)

// tuneCollector trades memory for CPU while the process is busy, and gives the
// memory back when it is not. copying says whether leaves are copied to or from
// here. GOGC in the environment turns it off.
func tuneCollector(ctx context.Context, copying func() bool) {
	if os.Getenv("GOGC") != "" {
		return
	}
	tick := time.NewTicker(collectorPoll)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	last, quiet := sample[0].Value.Uint64(), quietPolls
	percent := defaultGCPercent
	set := func(want int) {
		if want != percent {
			percent = want
			debug.SetGCPercent(want)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		if quiet++; now-last > busyBytes {
			quiet = 0
		}
		last = now
		switch {
		case copying(): // asked each time: it tells what was since the last time
			set(copyGCPercent)
		case quiet < quietPolls:
			set(busyGCPercent)
		default:
			set(defaultGCPercent)
		}
		if quiet == quietPolls {
			debug.FreeOSMemory()
		}
	}
}
