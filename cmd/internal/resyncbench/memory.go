package resyncbench

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
)

// memoryInterval is how often memory is looked at while its peak is sought.
const memoryInterval = 50 * time.Millisecond

// rssAnon is the anonymous memory of a process, in bytes; false where the system does not say (only Linux does).
func rssAnon(pid int) (int64, bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err == nil
		}
	}
	return 0, false
}

// peaks watches the memory of processes until stop.
type peaks struct {
	done chan struct{}
	wait sync.WaitGroup
	most map[string]int64 // by name; watched by one goroutine, read after stop
}

func watchMemory(which ...*fleet.Process) *peaks {
	p := &peaks{done: make(chan struct{}), most: map[string]int64{}}
	p.wait.Go(func() {
		tick := time.NewTicker(memoryInterval)
		defer tick.Stop()
		for {
			for _, process := range which {
				if n, ok := rssAnon(process.PID()); ok {
					p.most[process.Name] = max(p.most[process.Name], n)
				}
			}
			select {
			case <-p.done:
				return
			case <-tick.C:
			}
		}
	})
	return p
}

// stop returns the highest that was seen of each process.
func (p *peaks) stop() map[string]int64 {
	close(p.done)
	p.wait.Wait()
	return p.most
}

// idle is what processes have now.
func idle(which ...*fleet.Process) map[string]int64 {
	now := map[string]int64{}
	for _, p := range which {
		if n, ok := rssAnon(p.PID()); ok {
			now[p.Name] = n
		}
	}
	return now
}

// above is the most that any of these grew.
func above(peak, before map[string]int64, which ...*fleet.Process) (mebibytes float64, known bool) {
	for _, p := range which {
		most, seen := peak[p.Name]
		from, had := before[p.Name]
		if seen && had {
			mebibytes, known = max(mebibytes, float64(most-from)/(1<<20)), true
		}
	}
	return mebibytes, known
}
