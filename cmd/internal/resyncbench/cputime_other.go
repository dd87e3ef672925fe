//go:build !unix

package resyncbench

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
