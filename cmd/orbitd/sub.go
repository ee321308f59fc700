package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

func subCommand() *cobra.Command {
	var s subscriber
	var server remote
	c := &cobra.Command{
		Use:   "sub [flags] CHANNEL...",
		Short: "subscribe, and print one JSON object a line",
		Long: `sub prints every message of the channels as one line of JSON, once and in order,
until SIGINT or SIGTERM (exit status 0). It connects again after every
interruption and goes on where it stood, also across restarts of the daemon.

  {"ch":"/chat/lobby","o":1241,"p":1236,"t":1790000000123,"by":"alice","d":"hi","epoch":"9f86d081884c7d65"}

o is the offset, p that of the message before it, t the time in milliseconds, d
the payload (or b and ct: base64 and media type). What can no longer be had is
a line with "gap". Offset and epoch of a line, given to --after and --epoch,
go on behind it. With --client the daemon keeps the place under that name.

Exit status: 1 if a channel was refused or the server turned the client away.`,
		Example: `  orbitd sub /chat/lobby
  orbitd sub --from-start --count 10 /chat/lobby /chat/help
  orbitd sub --after 1241 --epoch 9f86d081884c7d65 /chat/lobby
  orbitd sub --user alice --client backup /inbox/alice >> inbox.jsonl`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.check(args, c.Flags().Changed("after")); err != nil {
				return err
			}
			if s.client != "" && !server.named() {
				return errors.New("--client needs a user: log in by --user, or give a token by --token or ORBITD_TOKEN")
			}
			o, err := server.options(c)
			if err != nil {
				return failed(err)
			}
			return failed(s.run(c, o))
		},
	}
	server.flags(c)
	c.Flags().Uint64Var(&s.after, "after", 0, "start behind this `OFFSET`, which needs --epoch, instead of now; 0 is --from-start")
	c.Flags().StringVar(&s.epoch, "epoch", "", "`EPOCH` of the offset")
	c.Flags().BoolVar(&s.fromStart, "from-start", false, "start at the oldest message that is retained")
	c.Flags().StringVar(&s.client, "client", "", "`NAME` of a durable session, one a consumer; needs --user or --token")
	c.Flags().IntVar(&s.count, "count", 0, "exit after `N` messages")
	c.MarkFlagsMutuallyExclusive("after", "from-start")
	return c
}

// A subscriber is one run of "orbitd sub". Its handlers run one at a time.
type subscriber struct {
	after     uint64
	epoch     string
	fromStart bool
	client    string
	count     int

	channels []channel.Name
	from     *message.Position

	out     io.Writer
	err     io.Writer
	c       *client.Client
	stop    context.CancelFunc
	line    []byte
	printed int
	over    bool // print nothing more
	live    int  // subscriptions that are not refused
	failure error
}

// check reads what the command line says; placed: it has --after.
func (s *subscriber) check(args []string, placed bool) error {
	for _, arg := range args {
		name, err := channel.Parse(arg)
		if err != nil {
			return err
		}
		if !slices.Contains(s.channels, name) {
			s.channels = append(s.channels, name)
		}
	}
	switch {
	case s.count < 0:
		return fmt.Errorf("--count %d: want a number of messages; 0 is all", s.count)
	case s.fromStart, placed && s.after == 0 && s.epoch == "":
		s.from = &message.Position{}
	case placed && s.epoch == "":
		return fmt.Errorf("--after %d: an offset says nothing without its --epoch", s.after)
	case s.epoch != "" && !placed:
		return fmt.Errorf("--epoch %s: say the offset, too, by --after", s.epoch)
	case s.epoch != "":
		epoch, err := message.ParseEpoch(s.epoch)
		if err != nil {
			return err
		}
		s.from = &message.Position{Epoch: epoch, Offset: message.Offset(s.after)}
	}
	return nil
}

func (s *subscriber) run(c *cobra.Command, o client.Options) error {
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s.out, s.err, s.stop, s.live = c.OutOrStdout(), c.ErrOrStderr(), stop, len(s.channels)
	// A line that was written is processed: that is what is acknowledged.
	o.Client, o.Manual = s.client, true
	var err error
	if s.c, err = client.New(o); err != nil {
		return err
	}
	for _, name := range s.channels {
		if err := s.c.Subscribe(s.subscription(name)); err != nil {
			return err
		}
	}
	err = s.c.Run(ctx)
	if errors.Is(err, context.Canceled) {
		return s.failure
	}
	return hinted(err)
}

func (s *subscriber) subscription(name channel.Name) client.Subscription {
	return client.Subscription{
		Channel: name,
		From:    s.from,
		OnMessage: func(m *message.Message, epoch message.Epoch, redelivered bool) {
			s.print(protocol.AppendMessage(s.line[:0], m, redelivered), epoch)
			if s.over {
				return
			}
			s.c.Ack(m.Channel, m.Offset)
			if s.printed++; s.printed == s.count {
				s.end(nil)
			}
		},
		OnGap: func(g client.Gap) {
			s.print(protocol.AppendGap(s.line[:0], g.Channel, g.After, g.To, g.Reason), g.Epoch)
		},
		OnEnd: func(e *message.Error) { s.refused(name, e) },
	}
}

// print writes one object with its epoch as one line, by one write.
func (s *subscriber) print(object []byte, epoch message.Epoch) {
	if s.over {
		return
	}
	s.line = append(object[:len(object)-1], `,"epoch":"`...)
	s.line = append(epoch.AppendText(s.line), "\"}\n"...)
	if _, err := s.out.Write(s.line); err != nil {
		s.end(fmt.Errorf("write a message: %w", err))
	}
}

func (s *subscriber) end(err error) {
	s.over = true
	s.failure = errors.Join(s.failure, err)
	s.stop()
}

func (s *subscriber) refused(name channel.Name, e *message.Error) {
	err := fmt.Errorf("%s: %w", name, hinted(e))
	if s.live--; s.live == 0 {
		s.end(err)
		return
	}
	fmt.Fprintln(s.err, "orbitd:", err)
	s.failure = errors.New("a channel was refused")
}

// A remote is the server that sub and pub talk to.
type remote struct{ url, token, user, ca string }

func (r *remote) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.url, "url", "", "server `URL` (default $ORBITD_URL, else http://localhost:8080)")
	c.Flags().StringVar(&r.token, "token", "", "`TOKEN` of the user (default $ORBITD_TOKEN; others see the flag in the process list)")
	c.Flags().StringVar(&r.user, "user", "", "log in as `USER`; the password is $ORBITD_PASSWORD, else asked for")
	c.Flags().StringVar(&r.ca, "ca", "", "trust the authorities in `FILE` (PEM) instead of the system's, for https (default $ORBITD_CA)")
	c.MarkFlagsMutuallyExclusive("token", "user")
}

// named reports whether somebody is named as whom to connect.
func (r *remote) named() bool { return first(r.user, r.token, os.Getenv("ORBITD_TOKEN")) != "" }

func (r *remote) options(c *cobra.Command) (client.Options, error) {
	o := client.Options{URL: first(r.url, os.Getenv("ORBITD_URL"), "http://localhost:8080")}
	o.OnState = watch(c.ErrOrStderr(), o.URL)
	var err error
	if o.TLS, err = trusting(first(r.ca, os.Getenv("ORBITD_CA"))); err != nil {
		return o, err
	}
	switch token := first(r.token, os.Getenv("ORBITD_TOKEN")); {
	case r.user != "":
		password, err := r.password(c)
		if err != nil {
			return o, err
		}
		o.Token = client.Login(o.URL, r.user, password, o.TLS)
	case token != "":
		o.Token = func(context.Context) (string, error) { return token, nil }
	}
	return o, nil
}

// trusting returns how to connect to servers whose certificates the authorities
// in a file have signed; nil for no file.
func trusting(file string) (*tls.Config, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM form", file)
	}
	return &tls.Config{RootCAs: roots}, nil
}

func (r *remote) password(c *cobra.Command) (string, error) {
	if password := os.Getenv("ORBITD_PASSWORD"); password != "" {
		return password, nil
	}
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", errors.New("--user needs a password: set ORBITD_PASSWORD where there is no terminal")
	}
	defer terminal.Close()
	return askOnce(c, terminal, "Password for "+r.user+": ")
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// watch tells once when the connection is gone, and once when it is back. That a
// token is refused is told when it is refused for good.
func watch(w io.Writer, url string) func(client.State) {
	found, lost := false, false
	return func(s client.State) {
		switch {
		case s.Connected:
			if lost {
				fmt.Fprintln(w, "orbitd: connected to", url)
			}
			found, lost = true, false
		case s.Retry > 0 && !lost && message.CodeOf(s.Err) != message.Unauthorized:
			fmt.Fprintf(w, "orbitd: %v; trying again\n", s.Err)
			if _, untrusted := errors.AsType[*tls.CertificateVerificationError](s.Err); untrusted {
				fmt.Fprintln(w, "orbitd: --ca or ORBITD_CA names who has signed the server's certificate")
			} else if !found {
				fmt.Fprintln(w, "orbitd: --url or ORBITD_URL names another server")
			}
			lost = true
		}
	}
}

// hinted adds what the user can do about an error.
func hinted(err error) error {
	hints := map[message.Code]string{
		message.Unauthorized: "log in by --user, or give a token by ORBITD_TOKEN",
		message.Forbidden:    `"orbitd acl" on the server tells which rule decided`,
	}
	code := message.CodeOf(err)
	if bye, ok := errors.AsType[*client.ByeError](err); ok {
		code = bye.Code
		hints[protocol.ByeDisplaced] = "another client uses this --client name: one name is one consumer"
	}
	if hint := hints[code]; hint != "" {
		return fmt.Errorf("%w\nhint: %s", err, hint)
	}
	return err
}
