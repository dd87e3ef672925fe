//go:build race

package bench

import (
	"os"
	"runtime"
	"testing"
)

// TestMain gives bubbles with a thousand goroutines one processor: the race runtime of Go 1.26.8 ends otherwise, now and then
// ("CHECK failed: tsan_rtl.cpp").
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}
