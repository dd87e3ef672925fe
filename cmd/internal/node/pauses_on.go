//go:build flotilla_pauses

package node

import (
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/walgap/resync"
)

// pauses stop resync jobs where a test of kills wants them. FLOTILLA_PAUSES names a folder; a file "<stage> <point>" in
// it is taken by the first job that gets to that point, by renaming it to "<stage> <point>.reached", and the job waits
// there until the folder holds a file "lifted".
func pauses() resync.Hooks {
	dir := os.Getenv("FLOTILLA_PAUSES")
	if dir == "" {
		return resync.Hooks{}
	}
	return resync.Hooks{Step: func(_ string, stage resync.Stage, point string) {
		at := filepath.Join(dir, stage.String()+" "+point)
		if os.Rename(at, at+".reached") != nil {
			return // nobody is to wait here, or another job does
		}
		for {
			if _, err := os.Stat(filepath.Join(dir, "lifted")); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}}
}
