package storage

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	diskRunBytes = 1 << 20     // of one read
	diskGap      = 64 << 10    // between wanted pages, read along rather than skipped
	diskReaders  = 4           // reads at a time
	maxSlack     = 3 * diskGap // read along behind the last page of a run
	diskAlign    = 4096        // of memory, for reads past the system's memory
	maxPageRun   = 256 << 20   // bytes of one page with its overflow
)

// disk reads the pages of a file beside bbolt: those that a read transaction holds do not change.
type disk struct {
	file     *os.File // bbolt's own handle: the file that is open, whatever now has its name
	direct   *os.File // reads past the system's memory; nil: not wanted, or not to be had
	past     bool     // it is wanted
	pageSize int
	pace     func(bytes int) error // asked by whoever takes what was read; nil: none
	ahead    bool                  // what a walk comes to next is read while it is busy
	bytes    atomic.Int64
	reads    sync.WaitGroup // those that nobody waits for yet
}

// runSizes are what the memory of a run, which is used again, has. The largest is a run of diskRunBytes with what is read along.
var runSizes = [...]int{8 << 10, 64 << 10, 256 << 10, diskRunBytes + 4*diskGap}

// runBuffers lends that memory to all files, by its first byte: each is walked when it is opened, and to make and collect the
// memory for that cost a copy more than a tenth of its processor.
var runBuffers [len(runSizes)]sync.Pool

// buffer is memory for a run.
func (d *disk) buffer(n int) []byte {
	for i, size := range runSizes {
		if n > size {
			continue
		}
		if first, ok := runBuffers[i].Get().(*byte); ok {
			return unsafe.Slice(first, size)[:n]
		}
		return aligned(size)[:n]
	}
	return aligned(n)
}

// release takes the memory of pages back: they are invalid from now on.
func (d *disk) release(r pagesRead) {
	for _, run := range r.runs {
		giveBack(run.bytes)
	}
	for _, own := range r.own {
		giveBack(own)
	}
}

func giveBack(b []byte) {
	if i := slices.Index(runSizes[:], cap(b)); i >= 0 {
		runBuffers[i].Put(unsafe.SliceData(b))
	}
}

// openDisk prepares to read. past: the disk itself, where the system lets us; close must be called then.
func (f *file) openDisk(pageSize int, past bool, pace func(int) error) *disk {
	d := &disk{file: f.handle, pageSize: pageSize, past: past, pace: pace}
	if past {
		d.direct = openDirect(f.handle)
	}
	return d
}

// close waits for reads that are under way.
func (d *disk) close() {
	d.reads.Wait()
	if d.direct != nil {
		_ = d.direct.Close()
	}
}

// aligned is memory that a direct read takes.
func aligned(n int) []byte {
	b := make([]byte, n+diskAlign)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (diskAlign - 1)
	return b[skip : skip+n : skip+n]
}

// read fills b, which is aligned, from a page on. A file that ends too early is damaged, and so is one that cannot be read.
func (d *disk) read(page uint64, b []byte) error {
	at := int64(page) * int64(d.pageSize)
	d.bytes.Add(int64(len(b)))
	if d.direct != nil {
		if _, err := d.direct.ReadAt(b, at); err == nil {
			return nil
		} else if !errors.Is(err, syscall.EINVAL) { // that says that it cannot be read in this way
			return &pageError{page, fmt.Errorf("read %d bytes: %w", len(b), err)}
		}
	}
	if d.past {
		dropRange(d.file, at, int64(len(b)))
	}
	if _, err := d.file.ReadAt(b, at); err != nil {
		return &pageError{page, fmt.Errorf("read %d bytes: %w", len(b), err)}
	}
	return nil
}

// pageRun is a piece of the file that is read at once.
type pageRun struct {
	first uint64
	bytes []byte
	err   error
}

// pagesRead is what became of reading pages. They lie in the runs, or in memory of their own.
type pagesRead struct {
	list      []boltPage
	runs      []pageRun
	own       [][]byte // memory of those that did not fit in their run
	bytes     int
	overflows int // pages that overflow one of them, at most
	err       error
}

// pages reads pages with what overflows them, in the order of the ids. end is the number of pages of the file, slack how
// many pages are likely to overflow one: they are read along with the last of a run. Several may be read at once.
func (d *disk) pages(ids []uint64, end uint64, slack int) (r pagesRead) {
	if r.runs, r.err = d.plan(ids, end, min(slack, maxSlack/d.pageSize)); r.err != nil {
		return r
	}
	d.readAll(r.runs)
	r.list = make([]boltPage, len(ids))
	for _, run := range r.runs {
		r.bytes += len(run.bytes)
	}
	for i, id := range ids {
		if r.err = d.page(&r, i, id, end); r.err != nil {
			return r
		}
	}
	return r
}

// page finds one of the pages in the runs, and reads what of it they lack.
func (d *disk) page(r *pagesRead, i int, id, end uint64) (err error) {
	n, _ := slices.BinarySearchFunc(r.runs, id, func(run pageRun, id uint64) int {
		switch {
		case id < run.first:
			return 1
		case id >= run.first+uint64(len(run.bytes)/d.pageSize):
			return -1
		}
		return 0
	})
	run := &r.runs[n]
	if run.err != nil {
		return run.err
	}
	p := &r.list[i]
	if *p, err = pageHead(id, run.bytes[int(id-run.first)*d.pageSize:]); err != nil {
		return err
	}
	if p.overflow >= end-id || (p.overflow+1)*uint64(d.pageSize) > maxPageRun {
		return badPage(id, "overflows %d pages, of %d", p.overflow, end)
	}
	r.overflows = max(r.overflows, int(p.overflow))
	size := int(p.overflow+1) * d.pageSize
	if size > len(p.bytes) {
		p.bytes = d.buffer(size)
		r.own = append(r.own, p.bytes)
		r.bytes += size
		if err := d.read(id, p.bytes); err != nil {
			return err
		}
	}
	p.bytes = p.bytes[:size:size]
	return nil
}

// plan makes few reads of many pages. What is likely to overflow one is no gap behind it.
func (d *disk) plan(ids []uint64, end uint64, slack int) (runs []pageRun, err error) {
	sorted := slices.Sorted(slices.Values(ids))
	for i := 0; i < len(sorted); {
		first, last := sorted[i], sorted[i]
		for i++; i < len(sorted) && (int64(sorted[i]-last)-int64(slack))*int64(d.pageSize) <= diskGap && int64(sorted[i]-first)*int64(d.pageSize) < diskRunBytes; i++ {
			last = sorted[i]
		}
		if last >= end || first < 2 {
			return nil, badPage(last, "there are %d pages", end)
		}
		stop := min(last+1+uint64(slack), end)
		if i < len(sorted) {
			stop = min(stop, sorted[i])
		}
		runs = append(runs, pageRun{first: first, bytes: d.buffer(int(max(stop, last+1)-first) * d.pageSize)})
	}
	return runs, nil
}

// readAll fills the runs, several at a time.
func (d *disk) readAll(runs []pageRun) {
	if len(runs) == 1 {
		runs[0].err = d.read(runs[0].first, runs[0].bytes)
		return
	}
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(diskReaders, len(runs)) {
		readers.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(runs); n = int(next.Add(1)) - 1 {
				runs[n].err = d.read(runs[n].first, runs[n].bytes)
			}
		})
	}
	readers.Wait()
}
