// Signs the content of a document with NCALayer, the signing program of the National Certification Authority, which
// answers at a websocket of the reader's own computer. It is asked only when the button is pressed. The signature goes
// into the form around the element, as if its file had been chosen.
'use strict';

customElements.define('ncalayer-sign', class extends HTMLElement {
  static ADDRESS = 'wss://127.0.0.1:13579/';

  connectedCallback() {
    this.button = document.createElement('button');
    this.button.type = 'button';
    this.button.textContent = this.dataset.label;
    this.words = document.createElement('span');
    this.words.setAttribute('role', 'status');
    this.replaceChildren(this.button, ' ', this.words);
    this.button.addEventListener('click', () => this.sign());
  }

  async sign() {
    this.button.disabled = true;
    try {
      const answer = await fetch(this.getAttribute('content'));
      if (!answer.ok) throw new Error(`${answer.status}`);
      this.words.textContent = this.dataset.waiting;
      const signature = await this.ask(base64(await answer.arrayBuffer()));
      const form = this.closest('form');
      const chosen = new DataTransfer();
      chosen.items.add(new File([bytes(signature)], 'ncalayer.cms'));
      form.querySelector('input[type=file]').files = chosen.files;
      this.words.textContent = '';
      form.requestSubmit();
    } catch (error) {
      this.words.textContent = error.isAbsent ? this.dataset.absent : `${this.dataset.failed} ${error.message}`;
    } finally {
      this.button.disabled = false;
    }
  }

  // Sends the one request, and waits for its answer. The program greets first, without a code.
  ask(content) {
    const request = {
      module: 'kz.gov.pki.knca.commonUtils',
      method: 'createCAdESFromBase64',
      args: ['PKCS12', 'SIGNATURE', content, false],
    };
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.constructor.ADDRESS);
      let isOpen = false;
      socket.addEventListener('open', () => { isOpen = true; socket.send(JSON.stringify(request)); });
      socket.addEventListener('message', (event) => {
        let answer = {};
        try { answer = JSON.parse(event.data); } catch { return; }
        if (answer?.code === undefined) return;
        if (String(answer.code) === '200' && answer.responseObject) resolve(answer.responseObject);
        else reject(new Error(answer.message ?? answer.code));
        socket.close();
      });
      socket.addEventListener('close', () => reject(Object.assign(new Error(''), { isAbsent: !isOpen })));
    });
  }
});

function base64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

// The bytes of a signature in base64 or PEM. Other programs read these.
function bytes(text) {
  const binary = atob(text.replace(/-----[^-]+-----/g, '').replace(/\s/g, ''));
  return Uint8Array.from(binary, (char) => char.charCodeAt(0));
}
