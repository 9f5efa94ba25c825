package webhook_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// nameServer answers every question for IPv4 addresses with the next of the answers, the last
// one again and again; there are no IPv6 addresses.
type nameServer struct {
	mu      sync.Mutex
	answers [][]netip.Addr
}

func newNameServer(tb testing.TB, answers ...[]netip.Addr) *net.Resolver {
	tb.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &nameServer{answers: answers}
	var serving sync.WaitGroup
	serving.Go(func() { s.serve(conn) })
	tb.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// noNameServer is a resolver that cannot ask anybody.
func noNameServer() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server")
	}}
}

func (s *nameServer) serve(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if _, err := conn.WriteTo(s.reply(buf[:n]), from); err != nil {
			return
		}
	}
}

// reply to a question (RFC 1035, section 4): the header, the question again, the answers.
func (s *nameServer) reply(query []byte) []byte {
	const header, typeA = 12, 1
	end := header
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	var addrs []netip.Addr
	if binary.BigEndian.Uint16(query[end-4:]) == typeA {
		addrs = s.next()
	}
	out := append([]byte{}, query[:2]...)
	out = append(out, 0x81, 0x80, 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0)
	out = append(out, query[header:end]...)
	for _, a := range addrs {
		out = append(out, 0xc0, header, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4) // name, type, class, no caching, length
		out = append(out, a.AsSlice()...)
	}
	return out
}

func (s *nameServer) next() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return addrs
}

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}
