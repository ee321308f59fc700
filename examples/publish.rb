# Publishes one message by STOMP and waits until it is on disk. Debian: ruby-stomp
require 'stomp'

host, port = ARGV.empty? ? ['localhost', 61613] : ARGV
client = Stomp::Client.new(hosts: [{ host: host, port: port.to_i }], reliable: false,
                           connect_headers: { 'accept-version' => '1.2', 'host' => host })
done = Queue.new
client.publish('/chat/lobby', '{"text": "hi from Ruby"}', 'content-type' => 'application/json') { |receipt| done << receipt }
done.pop
client.close
