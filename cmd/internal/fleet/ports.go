package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// firstPort and lastPort lie below what systems give to outgoing connections
// (from 32768 on Linux, from 49152 elsewhere): a process that was killed finds
// its ports free when it comes back.
const (
	firstPort = 11000
	lastPort  = 31999
	// portTries bounds the search for one.
	portTries = 1000
)

// freePorts finds loopback addresses that nobody listens on now, for TCP and
// UDP, and that are none of those taken.
func freePorts(n int, taken []string) ([]string, error) {
	var addrs []string
	for range portTries {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort+1)))
		if !slices.Contains(taken, addr) && !slices.Contains(addrs, addr) && isFree(addr) {
			addrs = append(addrs, addr)
		}
	}
	return nil, fmt.Errorf("find %d free ports on loopback between %d and %d: only %d in %d tries", n, firstPort, lastPort, len(addrs), portTries)
}

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
