//go:build !flotilla_pauses

package node

import "github.com/flotilla-db/flotilla/walgap/resync"

// pauses are for tests of kills: see pauses_on.go.
func pauses() resync.Hooks { return resync.Hooks{} }
