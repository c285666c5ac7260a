-- Marks on tags and their release. The same rules as in store/cell.rs.
--
-- KEYS: tags, and behind them the key of the feed of changes, all in one slot. Without that key nobody is
-- told; whoever leaves it out tells in another way.
-- ARGV[1]: "arm" or "release"; ARGV[2]: the writer; ARGV[3]: milliseconds, the life of the mark, or
-- how long a purged tag stays a barrier; ARGV[4...]: one word per tag.
--   arm:     "" or "l" and a label: leave a stamp with this label alone
--   release: "p" purge, "l" and a label: purge unless the stamp has it, "e" and a stamp: purge if it
--            is this one, "s" spare, "n", a stamp, "@" and milliseconds: this stamp for so long, if the
--            writer's mark stood over a stamp and nobody else came by; else purge
-- Answers how many marks of the writer stood already.
--
-- A barrier is "b" and words: "s...@until" is the stamp that it covers, "w...@until" a mark.
local arms, writer, span = ARGV[1] == 'arm', ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stood = 0

local tags = #ARGV - 3
local feed = KEYS[tags + 1]
if feed then
  -- Before anything is changed: if this breaks off, more was told than has changed, and never less. Also
  -- what is left alone for its label is told: a listener may hold what depends on a stamp that was there
  -- before this one, on other terms.
  local told = {}
  for position = 1, tags do
    local key = KEYS[position]
    if arms or ARGV[3 + position] ~= 's' then told[#told + 1] = #key .. ':' .. key end
  end
  if #told > 0 then
    local token = string.format('%s.%.0f.%.0f', writer, time[1], time[2])
    local failed = announce(feed, token, table.concat(told))
    if failed then return failed end
  end
end

local function label_of(stamp)
  return string.sub(stamp, 19)
end

for position = 1, tags do
  local key = KEYS[position]
  local word = ARGV[3 + position]
  local label = string.sub(word, 1, 1) == 'l' and string.sub(word, 2)
  local raw = redis.pcall('GET', key)
  local stamp, till = nil, nil
  local marks, barrier, mine = {}, false, false
  if type(raw) == 'table' then
    -- Another type of value: nothing of ours. If this user may not look, nothing can be said.
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then return raw end
  elseif raw and string.sub(raw, 1, 1) == 's' then
    stamp = raw
  elseif raw and string.sub(raw, 1, 1) == 'b' then
    barrier = true
    for what, at in string.gmatch(raw, '(%S+)@(%d+)') do
      at = tonumber(at)
      if at > now then
        if string.sub(what, 1, 1) == 's' then
          stamp, till = what, at
        elseif what == writer then
          mine = true
          if arms then marks[#marks + 1] = { what, now + span } end
        else
          marks[#marks + 1] = { what, at }
        end
      end
    end
    -- A barrier whose marks are over is nothing, and covers nothing.
    if #marks == 0 and not mine then stamp, till, barrier = nil, nil, false end
  end
  if mine then stood = stood + 1 end

  local write, gone = true, false
  if arms then
    if stamp and not barrier and label and label_of(stamp) == label then
      write = false
    elseif not mine then
      if barrier then
        stamp, till = nil, nil
      elseif stamp then
        local left = redis.call('PTTL', key)
        if left > 0 then till = now + left else stamp = nil end
      end
      marks[#marks + 1] = { writer, now + span }
    end
  else
    local renewed, life = string.match(word, '^n(%S+)@(%d+)$')
    local alone = mine and stamp and #marks == 0 and span == 0
    gone = word == 'p' or renewed or (label and not (stamp and label_of(stamp) == label))
      or (stamp and string.sub(word, 1, 1) == 'e' and stamp == string.sub(word, 2))
    if gone then
      stamp, till = nil, nil
      if renewed and alone then stamp, till = renewed, now + tonumber(life) end
      if span > 0 then marks[#marks + 1] = { writer, now + span } end
    elseif not barrier then
      write = false
    end
  end

  if write then
    if #marks > 0 then
      local words, last = { 'b' }, 0
      if stamp then words[2] = stamp .. '@' .. string.format('%.0f', till) end
      for _, mark in ipairs(marks) do
        words[#words + 1] = mark[1] .. '@' .. string.format('%.0f', mark[2])
        if mark[2] > last then last = mark[2] end
      end
      redis.call('SET', key, table.concat(words, ' '), 'PX', string.format('%.0f', last - now))
    elseif stamp then
      redis.call('SET', key, stamp, 'PX', string.format('%.0f', till - now))
    elseif raw or gone then
      -- Also where nothing is: a replica must refuse what it cannot do.
      redis.call('DEL', key)
    end
  end
end
return stood
