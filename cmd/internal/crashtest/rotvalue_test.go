package crashtest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// A byte inside a stored value, overwritten from outside while the node runs and makes checks of its own: the check that was
// asked for says where it was, every time, whichever check was the first to repair it.
func TestAByteInsideAValueIsToldOf(t *testing.T) {
	r := newRig(t, plan{nodes: 3, devices: 60, rate: 200})
	r.resume()
	r.awaitAcks(300)
	r.pause()
	r.awaitSettled()
	if out, code := r.flotilla("write", "--db", "weather", "--collection", "daily", "--format", "csv", "--device-column", "location",
		"--time-column", "date", "../../../testdata/weather/weather.csv"); code != 0 {
		t.Fatalf("write: exit code %d\n%s", code, out)
	}
	if out, code := r.flotilla("verify", "--all"); code != 0 { // its cuts have everything written to the files
		t.Fatalf("verify: exit code %d\n%s", code, out)
	}
	for i := range 6 * rounds(1) {
		victim, group := r.Processes[i%3], storage.GroupOf("weather", "daily", []string{"Seattle", "New York"}[i%2], totalGroups)
		overwriteValue(t, filepath.Join(victim.DataDir, "groups", strconv.Itoa(int(group)), "shard.db"))
		out, code := r.flotilla("verify", "--all", "--deep", "--repair", "-o", "json")
		var result api.VerifyResult
		if err := json.NewDecoder(bytes.NewReader(out[max(bytes.IndexByte(out, '{'), 0):])).Decode(&result); err != nil { // progress stands before it
			t.Fatalf("%v\n%s", err, out)
		}
		if code != 0 || result.GroupsRepaired != 1 || len(result.Findings) != 1 {
			t.Fatalf("exit code %d\n%s", code, out)
		}
		if f := result.Findings[0]; f.GroupID != group || f.Node != victim.Name || f.Action != api.ActionRepaired || f.Window == nil || len(f.Devices) == 0 {
			t.Errorf("group %d of %s: %+v", group, victim.Name, f)
		}
	}
	if out, code := r.flotilla("verify", "--all", "--deep"); code != 0 {
		t.Errorf("verify --deep: exit code %d\n%s", code, out)
	}
}

// overwriteValue changes a byte in the middle of the largest value of a shard's file.
func overwriteValue(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	twin := filepath.Join(t.TempDir(), "shard.db")
	must(t, os.WriteFile(twin, b, 0o600))
	db, err := bbolt.Open(twin, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	defer db.Close()
	at, size := int64(-1), 0
	must(t, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, list *bbolt.Bucket) error {
			return list.ForEach(func(_, v []byte) error {
				if len(v) <= size {
					return nil
				}
				off := int64(uintptr(unsafe.Pointer(&v[len(v)/2])) - db.Info().Data) // in the mapped file, if it was not copied out of it
				if off > 0 && off < int64(len(b)) {
					at, size = off, len(v)
				}
				return nil
			})
		})
	}))
	if at < 0 {
		t.Fatalf("no value in %s", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{b[at] ^ 0x5a}, at)
	must(t, err)
	must(t, f.Close())
}
