package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/reactor"
)

// crowded is set in the environment of a process that serves with few
// descriptors.
const crowded = "ORBITD_TEST_CROWDED"

// serveCrowded serves in a process of its own, prints where, and takes orders:
// to use up all descriptors, to give them back, and, at the end of its input, to
// stop.
func serveCrowded() {
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: 128}))
	log := logrus.New()
	log.SetOutput(io.Discard)
	re, err := reactor.New(reactor.Options{Loops: 2, Logger: log, Tick: time.Millisecond})
	check(err)
	server, err := httpserver.New(httpserver.Options{
		Reactor: re, UpgradePath: upgradePath, Upgrade: upgrade, Logger: log, Now: time.Now,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }),
	})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(server.Listen(l))
	fmt.Println(l.Addr())
	var files []int
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); fmt.Println("done") {
		if orders.Text() == "take" {
			files = takeAll()
			continue
		}
		for _, fd := range files {
			check(unix.Close(fd))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(server.Shutdown(ctx))
	check(re.Close(ctx))
}

// takeAll opens files until there are no descriptors left.
func takeAll() (files []int) {
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return files
		}
		files = append(files, fd)
	}
}

// A server without descriptors refuses, and serves again when there are some.
func TestNoDescriptors(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crowded+"=1")
	cmd.Stderr = t.Output()
	orders, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	line := func() string {
		if !lines.Scan() {
			t.Fatal("the server has ended:", cmd.Wait())
		}
		return lines.Text()
	}
	address := line()
	order := func(what string) {
		_, err := fmt.Fprintln(orders, what)
		must(t, err)
		if got := line(); got != "done" {
			t.Fatal(got)
		}
	}
	first := dial(t, address)
	first.send(handshake)
	first.wantText(switched)

	order("take")
	for range 100 {
		if _, err := ask(address); err == nil {
			t.Error("a request was answered without a descriptor")
		}
	}
	first.send("still there")
	first.wantText("still there")

	order("give")
	deadline := time.Now().Add(patience)
	for answer := ""; answer != "hello"; answer, err = ask(address) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is served any more:", err)
		}
	}

	// More connections than there may be: some are served, the rest is refused.
	var peers []*peer
	for range 200 {
		p := dial(t, address)
		peers = append(peers, p)
		_, _ = io.WriteString(p.conn, handshake)
	}
	served := slices.DeleteFunc(peers, func(p *peer) bool {
		b := make([]byte, len(switched))
		_, err := io.ReadFull(p.in, b)
		return err != nil
	})
	if len(served) < 32 || len(served) > 128 {
		t.Errorf("%d of 200 connections were served; there are 128 descriptors", len(served))
	}
	for _, p := range served {
		p.send("still there")
		p.wantText("still there")
	}
	must(t, orders.Close())
	must(t, cmd.Wait())
}

// ask makes one request on a connection of its own.
func ask(address string) (answer string, err error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(nc, strings.Replace(get("/hello"), "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil // it has said all
	}
	return string(b), err
}
