-- A listener's beat: the key of the feed is there, and this is what it holds.
--
-- KEYS[1]: the key of the feed. ARGV[1]: the listener's own channel; ARGV[2]: the number of the beat;
-- ARGV[3]: a token, to put the key there if it is not; ARGV[4]: milliseconds, its life.
-- What is published comes behind all that was, on the same connection.
local feed, life = KEYS[1], tonumber(ARGV[4])
local now = redis.call('GET', feed)
if not now or not string.find(now, '^%S+ %d+ %S+$') then
  now = ARGV[3] .. ' 0 ' .. ARGV[3]
  redis.call('SET', feed, now, 'PX', ARGV[4])
elseif redis.call('PTTL', feed) < life / 2 then
  redis.call('SET', feed, now, 'PX', ARGV[4])
end
redis.call('PUBLISH', ARGV[1], ARGV[2] .. '\n' .. now)
return 1
