-- Tells who listens by publish/subscribe of what is about to change, in the same step. There is somebody
-- if the feed's key is there: listeners put it there, and keep it. It holds three words: the token of who
-- put it there, a number, and the token of who spoke last. Each message says what stood there before and
-- what stands there now, so that one that is missing is noticed by whoever hears the next.
--
-- Answers an error, or nothing.
local function announce(feed, token, told)
  local before = redis.pcall('GET', feed)
  if type(before) == 'table' then
    -- Another type of value: no listener's. If this user may not look, nothing can be said.
    if string.find(before.err, 'WRONGTYPE', 1, true) then return nil end
    return before
  end
  if not before then return nil end
  local root, number = string.match(before, '^(%S+) (%d+) %S+$')
  local kept, sent = nil, nil
  if root then
    local after = root .. ' ' .. string.format('%.0f', number + 1) .. ' ' .. token
    kept = redis.pcall('SET', feed, after, 'KEEPTTL')
    sent = redis.pcall('PUBLISH', feed, before .. '\n' .. after .. '\n' .. told)
  end
  -- Who cannot tell takes the key away: then all listeners know, at their next beat, that they have
  -- missed something.
  if not root or type(kept) ~= 'table' or kept.err or type(sent) == 'table' then
    redis.call('DEL', feed)
  end
  return nil
end

