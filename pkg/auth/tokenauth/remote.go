package tokenauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	maxSet       = 512 << 10        // bytes of a key set
	fetchTimeout = 10 * time.Second // for all of one fetch
	// fetchPause is the least time between two fetches, whatever tokens come, and
	// what the first failure waits; each further one doubles that, to maxPause.
	fetchPause = 10 * time.Second
	maxPause   = 5 * time.Minute
	// DefaultRefresh is how often a key set is read again.
	DefaultRefresh = time.Hour
)

// RemoteOptions say where a key set is. URL and Logger are required.
type RemoteOptions struct {
	URL string
	// Algorithm is of the keys that are used; empty: all.
	Algorithm string
	Roots     *x509.CertPool // who signs the server's certificate; nil: the system's
	Refresh   time.Duration  // default: DefaultRefresh
	Logger    logrus.FieldLogger
	// Before is a set of the same place whose keys count until these are read; nil: none.
	Before *Remote
	// Transport does the requests; default: one of its own, which uses the proxy
	// that the environment names.
	Transport http.RoundTripper
}

// A Remote is the key set that an issuer publishes. It reads the set at once, then
// every Refresh, and when a token names a key that it does not have, so that new
// keys work as soon as they are used and withdrawn ones stop within a Refresh. While
// the issuer cannot be reached the keys stay as they were.
//
// NewRemote makes it and starts its goroutine, which Close ends. Find may be called
// concurrently.
type Remote struct {
	o      RemoteOptions
	client *http.Client
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{} // of capacity 1: one fetch serves all who wait
	gone   chan struct{} // of capacity 1: a key is not in the set any more

	failures int    // in a row; the goroutine's own
	text     []byte // of the set; likewise

	mu     sync.Mutex
	keys   Set
	known  bool // the set was read once
	latest *fetch
	closed bool
}

var _ Keys = (*Remote)(nil)

// NewRemote returns the key set at a URL. It does not wait for it.
func NewRemote(o RemoteOptions) (*Remote, error) {
	if o.URL == "" || o.Logger == nil {
		return nil, errors.New("tokenauth: URL and logger are required")
	}
	o.Refresh = cmp.Or(o.Refresh, DefaultRefresh)
	if o.Transport == nil {
		o.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			DisableKeepAlives:      true, // there is an hour until the next request
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Remote{
		o: o, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1), gone: make(chan struct{}, 1), latest: newFetch(),
		// The keys are this issuer's because they come from this place, and no other.
		client: &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if o.Before != nil {
		r.keys, r.known = o.Before.last()
		r.keys = r.keys.Of(o.Algorithm)
	}
	r.o.Before = nil // which may be large, and had one itself
	go r.run(ctx)
	return r, nil
}

// Close ends the goroutine and waits for it. Nobody may ask for keys any more.
func (r *Remote) Close() {
	r.cancel()
	<-r.done
}

// Find returns the keys of an id; see [Set.Find]. An id that is unknown has the set
// read again, at most every ten seconds. If that fails, or was done just before, it
// could not be found out.
func (r *Remote) Find(ctx context.Context, id string) ([]Key, error) {
	if keys := r.find(id); len(keys) > 0 {
		return keys, nil
	}
	f := r.ask()
	if f == nil {
		return nil, fmt.Errorf("key %q is unknown, and the key set was read less than %s ago", id, fetchPause)
	}
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	return r.find(id), nil
}

func (r *Remote) find(id string) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys.find(id)
}

// last returns what was read last, if anything was.
func (r *Remote) last() (keys Set, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.known
}

// All returns the keys as they were read last. Before the first time it waits for that.
func (r *Remote) All(ctx context.Context) ([]Key, error) {
	r.mu.Lock()
	keys, known, f := r.keys, r.known, r.latest
	r.mu.Unlock()
	if known {
		return keys, nil
	}
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	return r.find(""), nil
}

// Gone receives when keys have left the set since the last time.
func (r *Remote) Gone() <-chan struct{} { return r.gone }

// ask returns a fetch that runs or is about to, or nil if the last one began too
// short a time ago.
func (r *Remote) ask() *fetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.latest.over():
		return r.latest
	case r.closed:
		return nil
	case time.Since(r.latest.began) < fetchPause:
		return nil
	}
	r.latest = newFetch()
	r.wake <- struct{}{} // the goroutine has taken the one before, for that is over
	return r.latest
}

func (r *Remote) run(ctx context.Context) {
	defer close(r.done)
	defer r.giveUp()
	for {
		r.load(ctx)
		pause := time.NewTimer(r.pause())
		select {
		case <-pause.C:
			r.begin()
		case <-r.wake:
			pause.Stop()
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// begin makes a fetch the latest, unless somebody has asked for one meanwhile.
func (r *Remote) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest.over() {
		r.latest = newFetch()
		return
	}
	<-r.wake
}

// giveUp answers who waits for a fetch that nobody carries out any more.
func (r *Remote) giveUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if !r.latest.over() {
		r.latest.end(errClosed)
	}
}

var errClosed = errors.New("this key set is in use no more")

// pause returns how long to wait for the next fetch.
func (r *Remote) pause() time.Duration {
	if r.failures == 0 {
		return r.o.Refresh
	}
	return min(fetchPause<<min(r.failures-1, 10), maxPause, max(r.o.Refresh, fetchPause))
}

// load carries out the latest fetch.
func (r *Remote) load(ctx context.Context) {
	keys, err := r.fetch(ctx)
	r.tell(ctx, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		if !keys.contains(r.keys) {
			select {
			case r.gone <- struct{}{}:
			default: // that is said already
			}
		}
		r.keys, r.known = keys, true
	}
	r.latest.end(err)
}

// fetch returns the set as it is now.
func (r *Remote) fetch(ctx context.Context) (Set, error) {
	text, err := r.read(ctx)
	switch {
	case err != nil:
		return nil, err
	case r.text != nil && bytes.Equal(text, r.text):
		return r.keys, nil // which nobody else changes
	}
	keys, leftOut, err := ParseSet(text, false)
	if err != nil {
		return nil, err
	}
	r.text, keys = text, keys.Of(r.o.Algorithm)
	log := r.o.Logger.WithField("url", r.o.URL)
	for _, why := range leftOut {
		log.WithError(why).Warn("a key of the set is not used")
	}
	log.WithField("keys", len(keys)).Info("the key set was read")
	return keys, nil
}

// tell logs a failure, once for those in a row, and its end.
func (r *Remote) tell(ctx context.Context, err error) {
	log := r.o.Logger.WithField("url", r.o.URL)
	switch {
	case err == nil && r.failures > 0:
		r.failures = 0
		log.Info("the key set could be read again")
	case err != nil && ctx.Err() == nil:
		if r.failures++; r.failures == 1 {
			means := "the keys known before stay"
			if !r.known { // which nobody else changes
				means = "until it can be, nobody is let in by its tokens"
			}
			log.WithError(err).Warn("the key set cannot be read; " + means)
		}
	}
}

// read returns the text of the set.
func (r *Remote) read(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.o.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxSet+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSet:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxSet)
	}
	return text, nil
}
