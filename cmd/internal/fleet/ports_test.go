package fleet

import (
	"net"
	"strconv"
	"testing"
)

// No port is given twice soon, and all are of one block, which nobody else can have.
func TestFleetsShareNoPorts(t *testing.T) {
	given := make(map[string]bool)
	for range 100 {
		addrs, err := freePorts(3, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range addrs {
			_, text, _ := net.SplitHostPort(addr)
			port, err := strconv.Atoi(text)
			if err != nil || port <= block.first || port >= block.first+blockPorts || given[addr] {
				t.Errorf("%s is given, again: %v (block %d)", addr, given[addr], block.first)
			}
			given[addr] = true
		}
	}
	if l, err := net.Listen("tcp", loopback(block.first)); err == nil {
		l.Close()
		t.Error("the block is not held")
	}
}
