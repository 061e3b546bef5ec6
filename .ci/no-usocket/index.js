throw new Error("usocket is not used: addresses have the form unix:socket=PATH");
