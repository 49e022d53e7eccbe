// What tests/test_site.py asks of a page in a browser
const site = {
  unfold() { for (const o of document.querySelectorAll("details")) o.open = true },

  // Pictures that were not drawn
  pictures() {
    return [...document.images].filter(o => o.loading != "lazy" || o.complete).filter(o => !o.naturalWidth).map(o => `not drawn: ${o.src}`)
  },

  // Any colour of CSS as red, green, blue (0 to 255) and opacity (0 to 1)
  colours: new Map(),
  colour(s) {
    if (!site.colours.has(s)) {
      site.canvas ??= Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true})
      site.canvas.clearRect(0, 0, 1, 1)
      site.canvas.fillStyle = s
      site.canvas.fillRect(0, 0, 1, 1)
      const [r, g, b, a] = site.canvas.getImageData(0, 0, 1, 1).data
      site.colours.set(s, [r, g, b, a/255])
    }
    return site.colours.get(s)
  },
  over([r, g, b, a], below) { return [r, g, b].map((o, i) => o*a + below[i]*(1 - a)).concat(1) },
  luminance(c) {
    const [r, g, b] = c.slice(0, 3).map(o => (o /= 255) <= .04045 ? o/12.92 : ((o + .055)/1.055)**2.4)
    return .2126*r + .7152*g + .0722*b
  },
  ratio(a, b) {
    const [x, y] = [a, b].map(site.luminance).sort((p, q) => q - p)
    return (x + .05)/(y + .05)
  },

  // What lies behind an element
  behind(o, seen) {
    if (!o) return [255, 255, 255, 1]
    if (!seen.has(o)) {
      const c = site.colour(getComputedStyle(o).backgroundColor)
      seen.set(o, c[3] == 1 ? c : site.over(c, site.behind(o.parentElement, seen)))
    }
    return seen.get(o)
  },
  opacity(o) { return o ? getComputedStyle(o).opacity*site.opacity(o.parentElement) : 1 },
  ground() { return site.luminance(site.behind(document.querySelector("article"), new Map())) },

  // Text whose contrast is below WCAG 2 AA, each pair of colours once
  contrast() {
    const seen = new Map(), done = new Set(), bad = new Map(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walk.nextNode()) {
      const o = walk.currentNode.parentElement
      if (done.has(o) || !walk.currentNode.data.trim() || /^(script|style|noscript|template|title|option)$/i.test(o.tagName)) continue
      done.add(o)
      if (!o.checkVisibility({opacityProperty: true, visibilityProperty: true}) || !o.getClientRects().length) continue
      const css = getComputedStyle(o), size = parseFloat(css.fontSize), back = site.behind(o, seen)
      const [r, g, b, a] = site.colour(css.color)
      const fore = site.over([r, g, b, a*site.opacity(o)], back), ratio = site.ratio(fore, back)
      const need = size >= 24 || size >= 18.66 && css.fontWeight >= 700 ? 3 : 4.5
      const key = `${fore.map(Math.round)} on ${back.map(Math.round)}`
      if (ratio < need && !bad.has(key)) bad.set(key, `contrast ${ratio.toFixed(2)} below ${need}: "${walk.currentNode.data.trim().slice(0, 40)}" in ${o.tagName}.${o.className}, ${key}`)
    }
    return [...bad.values()]
  },

  // Characters of code that fit into a line
  columns() {
    const o = [...document.querySelectorAll("div.cell_input pre")].find(o => o.checkVisibility())
    if (!o) return null
    const s = Object.assign(document.createElement("span"), {textContent: "0".repeat(100)}), css = getComputedStyle(o)
    o.append(s)
    const width = s.getBoundingClientRect().width/100
    s.remove()
    return Math.floor((o.clientWidth - parseFloat(css.paddingLeft) - parseFloat(css.paddingRight))/width)
  },

  // What reaches past the right edge and lies in no box that scrolls by itself
  sideways() {
    const width = document.documentElement.clientWidth, bad = []
    if (document.scrollingElement.scrollWidth > width) bad.push(`the page is ${document.scrollingElement.scrollWidth} wide on a screen of ${width}`)
    const scrolls = o => /auto|scroll/.test(getComputedStyle(o).overflowX)
    for (const o of document.querySelectorAll("article *")) {
      if (o.getBoundingClientRect().right <= width + 1 || !o.checkVisibility({visibilityProperty: true})) continue
      let box = o.parentElement
      while (box.tagName != "ARTICLE" && !scrolls(box)) box = box.parentElement
      if (box.tagName == "ARTICLE") bad.push(`cut off or sideways: ${o.tagName}.${o.className} "${o.textContent.trim().slice(0, 40)}"`)
    }
    return bad.slice(0, 5)
  },
}
window.site = site
