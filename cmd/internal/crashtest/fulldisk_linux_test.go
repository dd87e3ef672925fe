package crashtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// smallDisk is a tmpfs of so many MiB.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "small")
	mount(t, at, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs")
	return at
}

// fill leaves so many MiB free in a file system; the returned function makes room again.
func fill(t *testing.T, at string, freeMiB int64) (empty func()) {
	t.Helper()
	var s unix.Statfs_t
	must(t, unix.Statfs(at, &s))
	ballast := filepath.Join(at, "ballast")
	f, err := os.Create(ballast)
	must(t, err)
	must(t, errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize-freeMiB<<20), f.Close()))
	return func() { must(t, os.Remove(ballast)) }
}

// writeOver writes one point over HTTP and returns the status, and the problem's code if there is one.
func writeOver(t *testing.T, p *fleet.Process, ns int) (status int, code api.Code) {
	t.Helper()
	body := fmt.Sprintf(`{"time":%d,"id":"dev","v":1}`, ns)
	answer, err := http.Post("http://"+p.HTTPAddr+"/v1/databases/full/collections/c/write", "application/json", bytes.NewReader([]byte(body)))
	must(t, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	must(t, err)
	var problem api.Problem
	_ = json.Unmarshal(raw, &problem) // a 200 is no problem document
	return answer.StatusCode, problem.Code
}

// Below the disk reserve a node refuses data with 507, changes nothing, still reads, and comes back by itself when
// there is room.
func TestFullDiskRefusesDataAndComesBack(t *testing.T) {
	at := smallDisk(t, 400)
	r := newRig(t, plan{nodes: 1, devices: 50, rate: 200, dataDir: filepath.Join(at, "data"), args: []string{"--storage-disk-reserve", "64MiB"}})
	node := r.Processes[0]
	r.until("a write is taken", func() bool { status, _ := writeOver(t, node, 1); return status == http.StatusOK })
	r.resume()
	r.awaitAcks(100)
	empty := fill(t, at, 32)
	r.until("writes are refused with 507", func() bool {
		status, code := writeOver(t, node, 2)
		return status == http.StatusInsufficientStorage && code == api.NoSpace
	})
	r.check("on a full disk")
	empty()
	r.until("writes are taken again", func() bool { status, _ := writeOver(t, node, 3); return status == http.StatusOK })
	r.resume()
	r.awaitAcks(100)
	r.check("after the disk had room again")
}

// In a cluster the full node hands its leaderships over: writes go on, through every node.
func TestFullDiskOfOneNodeStopsNoWrites(t *testing.T) {
	at := smallDisk(t, 600)
	r := newRig(t, plan{nodes: 3, devices: 300, rate: 500, dataDir: filepath.Join(at, "data"), args: []string{"--storage-disk-reserve", "64MiB"}})
	r.resume()
	r.awaitSettled()
	full := r.Processes[0]
	if r.leads(full) == 0 {
		t.Fatal("n1 leads nothing: the test shows nothing")
	}
	empty, began := fill(t, at, 48), time.Now()
	r.until("n1 leads nothing", func() bool { return r.leads(full) == 0 })
	t.Logf("n1 leads nothing after %v", time.Since(began))
	r.ledger.ResetWaits()
	longest := r.awaitAllGroups()
	t.Logf("%d groups take writes with n1 full; the longest wait was %v", r.ledger.Groups(), longest.Duration)
	r.check("with n1 full")
	empty()
	began = time.Now()
	r.resume()
	r.until("n1 leads again", func() bool { return r.leads(full) > 0 })
	t.Logf("n1 leads again after %v", time.Since(began))
	r.check("after n1 had room again")
	r.verify()
}
