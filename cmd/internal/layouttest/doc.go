// Package layouttest keeps the shape of the repository: which package may import which, where third-party libraries
// may appear, how long files and functions may be, and which module versions are pinned. It holds only tests; the
// tables in them are the rules, and a new package begins with a row there.
package layouttest
