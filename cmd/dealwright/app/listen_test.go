package app_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dealwright/dealwright/cmd/dealwright/app"
)

const (
	// giveUp is when a test gives up; nothing is asserted about how long things take.
	giveUp = time.Minute
	// shortly is the patience of the listeners here.
	shortly = 200 * time.Millisecond
	// drop is the pause between two bytes of a client that sends drop by drop: never long enough
	// to be taken for silence.
	drop = 20 * time.Millisecond
)

// listener serves on a real socket.
func listener(t *testing.T, connections int, routes http.HandlerFunc) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Serve(ctx, l, routes, shortly, connections) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return l.Addr().String()
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(giveUp)))
	return conn
}

// dropByDrop sends a text byte by byte until it is sent, or nobody takes it any more.
func dropByDrop(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := conn.Write([]byte{text[i]}); err != nil {
			return
		}
		time.Sleep(drop)
	}
}

// read gives all that the server had to say before it hung up.
func read(t *testing.T, conn net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(conn)
	if ne, ok := errors.AsType[net.Error](err); ok {
		require.False(t, ne.Timeout(), "the server did not hang up")
	}
	return string(b)
}

func TestAHeaderDropByDropIsCutOff(t *testing.T) {
	t.Parallel()
	addr := listener(t, 10, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	conn := dial(t, addr)
	endless := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 10_000)
	go dropByDrop(conn, endless)
	require.NotContains(t, read(t, conn), "204")
}

func TestABodyDropByDropIsCutOff(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	addr := listener(t, 10, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		failed <- err
	})
	conn := dial(t, addr)
	_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	require.NoError(t, err)
	go dropByDrop(conn, strings.Repeat("a", 100_000))
	require.Error(t, <-failed)
	read(t, conn)
}

// One who asks for much and takes nothing of it, until the buffers of both machines are full.
func TestAnAnswerThatNobodyTakesIsGivenUp(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	addr := listener(t, 10, func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for piece := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(piece)
		}
		failed <- err
	})
	conn := dial(t, addr)
	_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	require.Error(t, <-failed)
}

func TestAConnectionThatIsNotUsedIsClosed(t *testing.T) {
	t.Parallel()
	addr := listener(t, 10, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	require.Empty(t, read(t, dial(t, addr)), "nothing was asked")
	used := dial(t, addr)
	_, err := io.WriteString(used, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	require.NoError(t, err)
	require.Contains(t, read(t, used), "204")
}

func TestAHeaderThatIsTooLarge(t *testing.T) {
	t.Parallel()
	addr := listener(t, 10, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for name, head := range map[string]string{
		"one":  "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n",
		"many": "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: a\r\n", 8<<10) + "\r\n",
		"path": "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		conn := dial(t, addr)
		go func() { _, _ = io.WriteString(conn, head) }() // it may hang up before all is sent
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, name)
		response.Body.Close()
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode, name)
		require.Empty(t, response.Header.Get("Server"), name)
	}
}

// Further connections are served when others have ended.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	const most, all = 3, 12
	entered, free := make(chan struct{}, all), make(chan struct{})
	addr := listener(t, most, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-free
		w.WriteHeader(http.StatusNoContent)
	})
	conns := make([]net.Conn, all)
	for i := range conns {
		conns[i] = dial(t, addr)
		_, err := io.WriteString(conns[i], "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
	}
	for range most {
		<-entered
	}
	require.Empty(t, entered, "no more than may be")
	close(free)
	for _, conn := range conns {
		require.Contains(t, read(t, conn), "204")
	}
}
