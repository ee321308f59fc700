//go:build ignore

// bareloop: what the machine allows. A fan-out server with nothing but the
// fan-out: one thread, one epoll, one frame per message shared by all
// subscribers, the messages of one turn in one write per subscriber, and no
// memory per connection beyond a table entry while nothing is pending. It keeps
// nothing, checks nothing and cannot resume; "make bench" puts orbitd beside it.
//
// usage: bareloop PORT
//
// It speaks WebSocket frames behind a handshake whose key it ignores. A client
// sends text messages: "S" and a channel subscribes (answer "s"); "P", a channel,
// a space and a payload publishes (answer "a"); every subscriber of the channel
// gets the payload as one text message.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_CHANNELS = 8192, MAX_NAME = 64, MAX_INPUT = 1 << 18, MAX_EVENTS = 512 };

struct bytes {
	char *at;
	size_t len, cap;
};

struct connection {
	struct bytes in, out;  // an incomplete frame; what the socket did not take
	int channel, place;    // place is its index among the channel's subscribers
	char open, upgraded;
};

struct channel {
	char name[MAX_NAME];
	int *subscribers;
	int count, cap;
	struct bytes turn;  // the frames of this turn
	char dirty;
};

static struct connection *connections;
static struct channel *channels;
static int dirty[MAX_CHANNELS], dirty_count, poll_fd;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void append(struct bytes *b, const char *data, size_t n)
{
	if (b->len + n > b->cap) {
		b->cap = (b->len + n) * 2;
		b->at = realloc(b->at, b->cap);
		if (!b->at)
			die("realloc");
	}
	memcpy(b->at + b->len, data, n);
	b->len += n;
}

static void discard(struct bytes *b)
{
	free(b->at);
	memset(b, 0, sizeof *b);
}

// watch has epoll tell of input, and of room for output where some is pending.
static void watch(int fd, int operation)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (connections[fd].out.len)
		e.events |= EPOLLOUT;
	epoll_ctl(poll_fd, operation, fd, &e);
}

static struct channel *find_channel(const char *name, size_t n)
{
	uint32_t hash = 2166136261u;
	if (n >= MAX_NAME)
		n = MAX_NAME - 1;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	for (uint32_t i = hash % MAX_CHANNELS;; i = (i + 1) % MAX_CHANNELS) {
		struct channel *c = &channels[i];
		if (!c->name[0])
			memcpy(c->name, name, n);
		if (strncmp(c->name, name, n) == 0 && !c->name[n])
			return c;
	}
}

static void close_connection(int fd)
{
	struct connection *c = &connections[fd];
	if (c->channel >= 0) {
		struct channel *ch = &channels[c->channel];
		int last = ch->subscribers[--ch->count];
		ch->subscribers[c->place] = last;
		connections[last].place = c->place;
	}
	discard(&c->in);
	discard(&c->out);
	c->open = c->upgraded = 0;
	c->channel = -1;
	close(fd);
}

static void send_to(int fd, const char *data, size_t n)
{
	struct connection *c = &connections[fd];
	size_t sent = 0;
	if (!c->out.len) {
		ssize_t w = send(fd, data, n, MSG_NOSIGNAL);
		if (w == (ssize_t)n || (w < 0 && errno != EAGAIN))
			return;  // a peer that has gone is noticed by its input
		sent = w < 0 ? 0 : w;
	}
	append(&c->out, data + sent, n - sent);
	watch(fd, EPOLL_CTL_MOD);
}

static void flush(int fd)
{
	struct connection *c = &connections[fd];
	ssize_t w = send(fd, c->out.at, c->out.len, MSG_NOSIGNAL);
	if (w <= 0)
		return;
	memmove(c->out.at, c->out.at + w, c->out.len - w);
	c->out.len -= w;
	if (!c->out.len) {
		discard(&c->out);
		watch(fd, EPOLL_CTL_MOD);
	}
}

static size_t frame_header(uint8_t *h, size_t n)
{
	h[0] = 0x81;
	if (n < 126) {
		h[1] = n;
		return 2;
	}
	h[1] = 126;
	h[2] = n >> 8;
	h[3] = n;
	return 4;
}

static void subscribe(int fd, const char *name, size_t n)
{
	struct connection *c = &connections[fd];
	struct channel *ch = find_channel(name, n);
	if (ch->count == ch->cap) {
		ch->cap = ch->cap ? ch->cap * 2 : 8;
		ch->subscribers = realloc(ch->subscribers, ch->cap * sizeof(int));
		if (!ch->subscribers)
			die("realloc");
	}
	c->channel = ch - channels;
	c->place = ch->count;
	ch->subscribers[ch->count++] = fd;
	send_to(fd, "\x81\x01s", 3);
}

static void publish(int fd, const char *message, size_t n)
{
	const char *space = memchr(message, ' ', n);
	if (!space)
		return;
	struct channel *ch = find_channel(message, space - message);
	const char *payload = space + 1;
	size_t size = n - (payload - message);
	uint8_t header[4];
	append(&ch->turn, (char *)header, frame_header(header, size));
	append(&ch->turn, payload, size);
	if (!ch->dirty) {
		ch->dirty = 1;
		dirty[dirty_count++] = ch - channels;
	}
	send_to(fd, "\x81\x01" "a", 3);
}

// fan_out ends a turn: one write for each subscriber of each channel that has
// something new.
static void fan_out(void)
{
	for (int i = 0; i < dirty_count; i++) {
		struct channel *ch = &channels[dirty[i]];
		for (int k = ch->count - 1; k >= 0; k--)
			send_to(ch->subscribers[k], ch->turn.at, ch->turn.len);
		ch->turn.len = 0;
		ch->dirty = 0;
	}
	dirty_count = 0;
}

// upgrade answers a handshake and returns its length, or 0 if it is incomplete.
static size_t upgrade(int fd, const char *data, size_t n)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
	const char *end = memmem(data, n, "\r\n\r\n", 4);
	if (!end)
		return 0;
	connections[fd].upgraded = 1;
	send_to(fd, answer, sizeof answer - 1);
	return end + 4 - data;
}

// parse carries out all complete frames and returns how many bytes they had, or
// -1 if the connection is to be closed.
static ssize_t parse(int fd, uint8_t *data, size_t n)
{
	size_t done = 0;
	if (!connections[fd].upgraded && !(done = upgrade(fd, (char *)data, n)))
		return 0;
	while (n - done >= 6) {
		uint8_t *frame = data + done;
		size_t size = frame[1] & 127, header = 2;
		if (size == 126) {
			size = frame[2] << 8 | frame[3];
			header = 4;
		}
		if (n - done < header + 4 + size)
			break;
		uint8_t *mask = frame + header, *payload = mask + 4;
		if (mask[0] | mask[1] | mask[2] | mask[3])
			for (size_t i = 0; i < size; i++)
				payload[i] ^= mask[i & 3];
		if ((frame[0] & 15) == 8)
			return -1;
		if (size > 1 && payload[0] == 'S')
			subscribe(fd, (char *)payload + 1, size - 1);
		else if (size > 1 && payload[0] == 'P')
			publish(fd, (char *)payload + 1, size - 1);
		done += header + 4 + size;
	}
	return done;
}

static void readable(int fd)
{
	static uint8_t buffer[MAX_INPUT];
	struct connection *c = &connections[fd];
	size_t have = c->in.len;
	if (have)
		memcpy(buffer, c->in.at, have);
	discard(&c->in);
	ssize_t r = recv(fd, buffer + have, sizeof buffer - have, 0);
	if (r == 0 || (r < 0 && errno != EAGAIN)) {
		close_connection(fd);
		return;
	}
	size_t n = have + (r > 0 ? r : 0);
	ssize_t done = parse(fd, buffer, n);
	if (done < 0 || (done == 0 && n == sizeof buffer))
		close_connection(fd);
	else if ((size_t)done < n)
		append(&c->in, (char *)buffer + done, n - done);
}

static void accept_all(int listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (fd >= MAX_FD) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		connections[fd].open = 1;
		connections[fd].channel = -1;
		watch(fd, EPOLL_CTL_ADD);
	}
}

static int listen_on(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096))
		die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: bareloop PORT\n");
		return 2;
	}
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	connections = calloc(MAX_FD, sizeof *connections);
	channels = calloc(MAX_CHANNELS, sizeof *channels);
	int listener = listen_on(atoi(argv[1]));
	poll_fd = epoll_create1(0);
	watch(listener, EPOLL_CTL_ADD);
	for (;;) {
		struct epoll_event events[MAX_EVENTS];
		int n = epoll_wait(poll_fd, events, MAX_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				accept_all(listener);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				flush(fd);
			if (events[i].events & ~EPOLLOUT)
				readable(fd);
		}
		fan_out();
	}
}
