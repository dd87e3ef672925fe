// Package version says which build this is: the version that the linker was given (make build), else the module's,
// and the revision and toolchain that Go records in every binary. It holds no state.
package version

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X .../cmd/internal/version.version=v0.1.0.
var version string

// Build is what `flotilla version` shows.
type Build struct {
	Version   string
	GoVersion string
	Platform  string // os/arch
	Revision  string // of the repository, "" where the build recorded none; "+dirty" behind it for changed files
}

// This returns the build of the running binary.
func This() Build {
	b := Build{Version: version, GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	if !ok {
		return b
	}
	dirty := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	if b.Revision != "" && dirty {
		b.Revision += "+dirty"
	}
	return b
}
