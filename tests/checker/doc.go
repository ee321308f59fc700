// Package checker compares what publishers were promised with what subscribers
// were given. It knows histories, and nothing of orbitd: it shares no code with
// the server or its clients, so that a mistake there cannot hide here.
//
// A history is JSON lines, from as many files as there were witnesses, in any
// order of files; the lines of one witness stand in the order in which it saw
// them. Fields beyond these are ignored. There are four kinds of lines:
//
// An accepted publish, written by the publisher when it has its answer: payload
// number n is stored on channel ch at offset o. Numbers count each publisher's
// messages of a channel from 1, in the order in which they were first sent; "by"
// names the publisher and may be left out where a channel has only one.
//
//	{"accepted":true,"ch":"/a/b","n":17,"o":1241}
//
// A delivery, written by the subscriber's application handler, once for each
// call:
//
//	{"who":"browser","ch":"/a/b","o":1241,"n":17,"handler":true}
//
// A gap that a subscriber was told of: nothing with after < offset <= to comes.
//
//	{"who":"browser","ch":"/a/b","gap":{"after":100,"to":180}}
//
// Who is expected to get what: everything accepted on ch behind offset "from"
// (0: from the oldest). Without any such line, everybody who got something is
// expected to get all of every channel.
//
//	{"who":"browser","expect":true,"ch":"/a/b","from":0}
//
// The verdict is one line:
//
//	accepted=10000 delivered=30000 lost=0 repeated=0 reordered=0
//
// accepted counts publishes; delivered, the calls of handlers. Lost is a message
// that was accepted and did not reach one who was to get it, and of which no gap
// told; told ones are counted apart ("gapped=", only if there are any). Repeated
// is a second call for one message; reordered, one behind a later one of its
// channel, or of its publisher. A delivery of what nobody published, or
// at another offset than its publisher was told, is a phantom ("phantom=", only
// if there are any). A message that was delivered though its publisher has no
// answer is no error: nobody knows of it; all who got it are compared as if it
// had been accepted.
package checker
