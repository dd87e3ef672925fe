package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
)

// Fleets get their ports from blocks that lie below what systems give to outgoing connections (from 32768 on Linux, from 49152
// elsewhere): a process that was killed finds its ports free when it comes back. A block is of one test or demo at a time, and
// gives each port once before it gives one again: a node that looks for peers of its own at a port that another fleet has taken
// meanwhile would join that.
const (
	firstPort  = 11000
	blockPorts = 1000
	blocks     = 21
)

// block is the one of this process.
var block struct {
	sync.Mutex
	guard net.Listener // at the first port: nobody else has the block
	first int
	next  int // offset of the port that is looked at next
}

// freePorts gives loopback addresses that nobody listens on now, for TCP and
// UDP, and that are none of those taken.
func freePorts(n int, taken []string) ([]string, error) {
	block.Lock()
	defer block.Unlock()
	if err := claimBlock(); err != nil {
		return nil, err
	}
	var addrs []string
	for range blockPorts - 1 {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := loopback(block.first + 1 + block.next)
		block.next = (block.next + 1) % (blockPorts - 1)
		if !slices.Contains(taken, addr) && isFree(addr) {
			addrs = append(addrs, addr)
		}
	}
	return nil, fmt.Errorf("find %d free ports on loopback between %d and %d: only %d are", n, block.first+1, block.first+blockPorts-1, len(addrs))
}

// claimBlock takes a block for as long as the process lives. The caller holds the lock.
func claimBlock() error {
	if block.guard != nil {
		return nil
	}
	for _, n := range rand.Perm(blocks) {
		first := firstPort + n*blockPorts
		if l, err := net.Listen("tcp", loopback(first)); err == nil {
			block.guard, block.first = l, first
			return nil
		}
	}
	return fmt.Errorf("no block of %d ports between %d and %d is free", blockPorts, firstPort, firstPort+blocks*blockPorts-1)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func isFree(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	p, err := net.ListenPacket("udp", addr)
	if err == nil {
		err = p.Close()
	}
	return errors.Join(err, l.Close()) == nil
}

// taken lists the addresses of the fleet's processes.
func (f *Fleet) taken() []string {
	var addrs []string
	for _, p := range f.Processes {
		addrs = append(addrs, p.RPCAddr, p.HTTPAddr, p.GossipAddr)
	}
	return addrs
}
